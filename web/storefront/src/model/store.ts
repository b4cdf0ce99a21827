// A value that the page shows and that a refresh, or another tab, finds again. Knows nothing of its contents.

export class Store<T> {
  #value: T;
  readonly #listeners = new Set<() => void>();

  /** `read` makes a value of whatever was stored; its input is undefined if nothing was stored. */
  constructor(
    private readonly name: string,
    private readonly read: (stored: unknown) => T,
  ) {
    this.#value = read(this.#stored());
    globalThis.addEventListener?.("storage", (event) => {
      if ((event as StorageEvent).key === name) this.#become(this.read(this.#stored()));
    });
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    try {
      localStorage.setItem(this.name, JSON.stringify(value));
    } catch {
      // No storage: the value is kept as long as the page is open.
    }
    this.#become(value);
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #become(value: T): void {
    this.#value = value;
    for (const listener of [...this.#listeners]) listener();
  }

  #stored(): unknown {
    try {
      return JSON.parse(localStorage.getItem(this.name) ?? "null") ?? undefined;
    } catch {
      return undefined;
    }
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
