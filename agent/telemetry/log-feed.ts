/** The log of the agent, line by line, for whoever follows it while it runs. */
export class LogFeed {
  readonly #listeners = new Set<(line: string, level: number) => void>()

  /** Calls with each line (JSON with its line break) and its level, a number of pino. Returns the way to stop. */
  follow(listener: (line: string, level: number) => void): () => void {
    const own = (line: string, level: number) => listener(line, level)
    this.#listeners.add(own)
    return () => this.#listeners.delete(own)
  }

  /** Hands a line to all who follow. They must not log. */
  publish(line: string, level: number): void {
    for (const listener of this.#listeners) listener(line, level)
  }
}
