import fc from 'fast-check'
import { runsMs } from '../held-up.ts'
import { parseAnswers } from './answer.ts'
import { exchange } from './exchange.ts'
import { bodies } from './inputs/bodies.ts'
import { framing } from './inputs/framing.ts'
import { headers, methods } from './inputs/headers.ts'
import { parameters } from './inputs/parameters.ts'
import { paths } from './inputs/paths.ts'
import { INDEX_NOW } from './inputs/values.ts'
import { judge } from './judge.ts'
import { nameOf, type Operation, type Schema } from './operations.ts'
import { encode, type Request, request, show } from './request.ts'
import type { Contents, Subject } from './subject.ts'

/** A class of input, and what the fuzzer draws from it for an operation. */
export interface InputClass {
  readonly name: string
  /** Every operation must have been reached by some input of this class: its handler ran. */
  readonly reaches: boolean
  inputs(operation: Operation, known: Known): fc.Arbitrary<Input>
}

/** What all operations together know. */
interface Known {
  readonly parameters: readonly string[]
  readonly schemas: readonly Schema[]
  /** What GET answers at the path of each operation. */
  readonly valid: ReadonlyMap<string, string>
}

/** Every class of input. */
export const CLASSES: readonly InputClass[] = [
  { name: 'paths', reaches: false, inputs: paths },
  { name: 'methods', reaches: false, inputs: methods },
  { name: 'headers', reaches: true, inputs: headers },
  { name: 'framing', reaches: false, inputs: framing },
  {
    name: 'parameters',
    reaches: true,
    inputs: (operation, known) => parameters(operation, known.parameters),
  },
  {
    name: 'bodies',
    reaches: true,
    inputs: (operation, { schemas, valid }) =>
      bodies(operation, { all: schemas, valid: valid.get(operation.path) ?? null }),
  },
]

/** What to do. */
export interface FuzzOptions {
  readonly seed: number
  /** Inputs of each class for each operation. */
  readonly runs: number
  readonly classes?: readonly InputClass[]
  readonly operations?: (operation: Operation) => boolean
  /** Ends the run after the operation under way. */
  readonly signal?: AbortSignal
}

/** An input that showed something wrong, as small as it could be made. */
export interface Finding {
  readonly operation: string
  readonly inputs: string
  readonly wrong: readonly string[]
  readonly bytes: Buffer
}

/** What was sent, and what came of it. */
export interface FuzzResult {
  readonly requests: number
  readonly findings: readonly Finding[]
  /** `class GET /path` → inputs sent, and how many of them ran the handler of the operation. */
  readonly coverage: ReadonlyMap<string, { readonly sent: number; readonly reached: number }>
  /** How often each status was answered; 0: nothing was, as the request was kept waiting. */
  readonly statuses: ReadonlyMap<number, number>
}

/** How often inputs are drawn again for an operation that none of them has reached. */
const MORE_DRAWS = 5

/** Sends inputs of every class to every operation that the server describes, and judges each exchange. */
export async function fuzz(subject: Subject, options: FuzzOptions): Promise<FuzzResult> {
  const run = new Run(subject)
  const known = await run.learn()
  for (const operation of subject.operations.filter(options.operations ?? (() => true))) {
    await run.reset()
    for (const each of options.classes ?? CLASSES) {
      if (options.signal?.aborted === true) return run
      await run.property(operation, each, known, options)
    }
  }
  return run
}

/** What is sent: a request, or bytes that may be none. */
export type Input = Request | Buffer

/** Inputs against one subject, and what came of them. */
export class Run implements FuzzResult {
  requests = 0
  readonly findings: Finding[] = []
  readonly coverage = new Map<string, { sent: number; reached: number }>()
  readonly statuses = new Map<number, number>()
  readonly #subject: Subject
  #contents: Contents | null = null

  constructor(subject: Subject) {
    this.#subject = subject
  }

  async reset(): Promise<void> {
    this.#contents = null
    await this.#subject.reset()
  }

  async learn(): Promise<Known> {
    const { operations } = this.#subject
    await this.reset()
    const valid = new Map<string, string>()
    for (const operation of operations.filter(
      ({ method, permission }) => method === 'GET' && permission.endsWith(':read'),
    )) {
      if (operation.path.includes('{')) continue
      const { exchange: answered } = await this.try(request('GET', operation.path))
      const [answer] = parseAnswers(answered.received, false).answers
      if (answer?.status === 200) valid.set(operation.path, answer.body.toString('latin1'))
    }
    return {
      parameters: [...new Set(operations.flatMap(({ parameters }) => parameters))],
      schemas: operations.flatMap(({ body }) => (body === null ? [] : [body])),
      valid,
    }
  }

  async property(
    operation: Operation,
    { name, reaches, inputs }: InputClass,
    known: Known,
    { seed, runs }: FuzzOptions,
  ): Promise<void> {
    const count = { sent: 0, reached: 0 }
    this.coverage.set(`${name} ${nameOf(operation)}`, count)
    let last: { bytes: Buffer; wrong: readonly string[] } | null = null
    const property = fc.asyncProperty(inputs(operation, known), async (input) => {
      const { wrong, reached, bytes } = await this.try(input)
      count.sent++
      if (reached.includes(operation)) count.reached++
      if (wrong.length === 0) return
      last = { bytes, wrong }
      throw new Error(wrong.join('; '))
    })
    let failed = false
    // By chance no input may have come to the handler; then a few more are drawn.
    for (let more = 0; !failed && more <= (reaches && count.reached === 0 ? MORE_DRAWS : 0); more++) {
      failed = (await fc.check(property, { seed: seed + more, numRuns: runs })).failed
    }
    if (failed && last !== null) {
      this.findings.push({
        operation: nameOf(operation),
        inputs: name,
        ...(last as { bytes: Buffer; wrong: readonly string[] }),
      })
    }
  }

  /** Sends one input. */
  async try(input: Input) {
    const subject = this.#subject
    this.requests++
    const now = String(subject.index)
    const bytes = Buffer.isBuffer(input)
      ? input
      : encode({ ...input, target: input.target.replaceAll(INDEX_NOW, now) })
    // Nothing changes between two exchanges.
    const before = this.#contents ?? (await subject.contents())
    subject.take()
    const exchanged = await exchange(subject.port, bytes, {
      mayBeHalf: Buffer.isBuffer(input),
      isParked: async () => (await subject.parked()) > 0,
    })
    await this.#released()
    const { reached: routes, problems } = subject.take()
    const reached = routes.flatMap((route) => {
      const found = subject.operations.find((each) => routeOf(each) === route.replace(/\*|:\w+/g, '{}'))
      return found === undefined ? [] : [found]
    })
    const [method = '', target = null] = Buffer.isBuffer(input)
      ? firstLine(bytes)
      : [input.method, input.target]
    const parsed = parseAnswers(exchanged.received, method === 'HEAD')
    const status = parsed.answers[0]?.status ?? 0
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1)
    const after = await subject.contents()
    this.#contents = after
    const wrong = judge({ target, method, exchange: exchanged, parsed, reached, before, after })
    if ((await subject.parked()) > 0) wrong.push('a query of a client that left still waits')
    return { wrong: [...wrong, ...problems], reached, bytes, exchange: exchanged }
  }

  /** Waits until the server has noticed that its client left. */
  async #released(): Promise<void> {
    const deadline = runsMs() + 2000
    while ((await this.#subject.parked()) > 0 && runsMs() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
}

function routeOf({ method, path }: Operation): string {
  return `${method} ${path.replace(/\{\w+\}/g, '{}')}`
}

function firstLine(bytes: Buffer): [string, string | null] {
  const [, method = '', target = null] =
    /^(?:\r?\n)*(\S+) ([^\r\n]*?)(?: HTTP\/\S*)?\r?\n/.exec(bytes.toString('latin1')) ?? []
  return [method, target]
}

/** A finding for people. */
export function findingText({ operation, inputs, wrong, bytes }: Finding): string {
  return `${operation}, ${inputs}: ${wrong.join('; ')}\n  ${show(bytes)}`
}
