// The Rust programs of benches/native, built for release into target/native.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
export const target = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "native");
const manifest = join(root, "benches/native/Cargo.toml");

/** Builds programs by name and says where each is. */
export function build(names, flags = []) {
  const programs = names.flatMap((name) => ["--bin", name]);
  const args = [
    "build",
    "--release",
    "--locked",
    "--manifest-path",
    manifest,
    "--target-dir",
    target,
    ...programs,
    ...flags,
  ];
  execFileSync("cargo", args, { stdio: ["ignore", "inherit", "inherit"] });
  return Object.fromEntries(names.map((name) => [name, join(target, "release", name)]));
}
