// For Node.js; apart from the rest, for bundlers must not meet `node:` modules.
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { keptVersion, parse, type SnapshotStorage, type StoredSnapshot } from "./web-storage.js";

/**
 * Keeps the last good snapshot in a file, which is always whole: it is written beside its place and moved there. Give each
 * process a file of its own, for of two that write at once the older may stay.
 *
 * ```js
 * import { FlagstoneClient } from "flagstone";
 * import { fileStorage } from "flagstone/file-storage";
 *
 * const flags = await FlagstoneClient.start({ source, environment: "production", keys, storage: fileStorage("/var/lib/app/flags.json") });
 * ```
 */
export function fileStorage(path: string): SnapshotStorage {
  const read = async (): Promise<string | undefined> => {
    try {
      return await readFile(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  };
  const write = async (stored: StoredSnapshot): Promise<void> => {
    if (stored.version < keptVersion(await read(), path)) return;
    await mkdir(dirname(path), { recursive: true });
    const temporary = `${path}.${crypto.randomUUID()}`;
    try {
      const file = await open(temporary, "wx");
      try {
        await file.writeFile(JSON.stringify(stored));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  };
  let written: Promise<void> = Promise.resolve();
  return {
    read: async () => parse(await read(), path),
    // One after another, so that each sees what is kept.
    write: (stored) => (written = written.catch(() => undefined).then(() => write(stored))),
    remove: () => rm(path, { force: true }),
  };
}
