import type { RealEngine } from '../../test/real/docker/engine.ts'
import { until } from '../../test/real/until.ts'

/** Times (ms) of events of the engine, by container and action. */
export class EngineEvents {
  readonly #times = new Map<string, number>()

  /** Listens until the engine ends. */
  async follow({ client }: RealEngine): Promise<void> {
    const stream = await client.getEvents({ filters: { type: ['container'] } })
    stream.on('error', () => {})
    let rest = ''
    stream.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString('utf8')).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines.filter((each) => each.trim() !== '')) this.#note(JSON.parse(line))
    })
  }

  #note(event: {
    Action: string
    timeNano: number
    Actor: { Attributes: Readonly<Record<string, string>> }
  }): void {
    this.#times.set(`${event.Actor.Attributes.name} ${event.Action}`, event.timeNano / 1e6)
  }

  /** When it happened last, not before `from`. */
  last(container: string, action: string, from: number): Promise<number> {
    const isNew = () => {
      const at = this.#times.get(`${container} ${action}`) ?? 0
      return at >= from && at
    }
    return until(`the engine tells of ${action} of ${container}`, isNew, { intervalMs: 5 })
  }
}
