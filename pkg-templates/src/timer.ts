// Waiting, in milliseconds. Timers here keep no process alive.

/** The longest that timers can wait. */
export const MAX_DELAY = 2 ** 31 - 1;

/** Calls back once; what it returns cancels that. */
export function timer(callback: () => void, delay: number): () => void {
  const handle: unknown = setTimeout(callback, Math.min(Math.max(delay, 0), MAX_DELAY));
  if (typeof handle === "object") (handle as { unref?(): void } | null)?.unref?.();
  return () => {
    clearTimeout(handle as number);
  };
}

/** Between 80 % and 120 %, so that many clients do not ask at the same moment. */
export const jitter = (delay: number): number => delay * (0.8 + 0.4 * Math.random());

/** Waits for work, but not forever; false where it goes on. The process stays alive for it. */
export async function within(delay: number, work: Promise<unknown>): Promise<boolean> {
  let handle: unknown;
  const late = new Promise<boolean>((waited) => {
    handle = setTimeout(
      () => {
        waited(false);
      },
      Math.min(delay, MAX_DELAY),
    );
  });
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(handle as number);
  }
}
