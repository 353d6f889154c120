import { get } from 'node:http'
import type { Test } from 'tap'
import { EventStreamParser } from '../../agent/cli/watch/event-stream.ts'
import type { AgentProcess } from './agent-process.ts'

/** What one agent told, and when it came. */
export interface Told {
  readonly type: string
  readonly data: Readonly<Record<string, unknown>>
  readonly atMs: number
}

/** Follows /api/v1/events of one agent, and asks again behind what it has when the stream ends, as a browser does. */
export class EventFollower {
  readonly agent: AgentProcess
  readonly told: Told[] = []
  /** Streams that were opened. */
  opened = 0
  /** How often the agent said that events may be missing. */
  resets = 0
  #lastEventId = ''
  #stopped = false
  #cut = (): void => {}

  constructor(t: Test, agent: AgentProcess) {
    this.agent = agent
    t.teardown(() => this.stop())
    this.#open()
  }

  /** Breaks the connection; the next one goes on behind the last event. */
  cut(): void {
    this.#cut()
  }

  stop(): void {
    this.#stopped = true
    this.#cut()
  }

  #open(): void {
    const { host, ports } = this.agent
    const parser = new EventStreamParser(this.#lastEventId)
    const headers = this.#lastEventId === '' ? {} : { 'last-event-id': this.#lastEventId }
    const again = (): void => {
      if (!this.#stopped) setTimeout(() => !this.#stopped && this.#open(), 100)
    }
    const request = get(
      { host, port: ports.http, path: '/api/v1/events', headers, agent: false },
      (response) => {
        response.on('data', (chunk: Buffer) => {
          for (const { type, data, lastEventId } of parser.push(chunk)) {
            this.#lastEventId = lastEventId
            if (type === 'ready') this.opened++
            if (type === 'reset') this.resets++
            else if (type !== 'ready')
              this.told.push({ type, data: JSON.parse(data), atMs: performance.now() })
          }
        })
        response.on('error', () => {})
        response.once('close', again)
      },
    )
    request.once('error', again)
    this.#cut = () => request.destroy()
  }
}
