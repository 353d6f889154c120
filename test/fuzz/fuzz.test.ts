import t from 'tap'
import { nameOf } from './operations.ts'
import { CLASSES, findingText, fuzz } from './run.ts'
import { Subject } from './subject.ts'

const SEED = 20_261_121
/** Inputs of each class for each operation: about fifteen hundred requests. */
const RUNS = 4

t.test(
  'no input makes a route fail, change what it must not, or answer in the wrong dialect',
  { timeout: 90_000 },
  async (t) => {
    const subject = await Subject.start()
    t.teardown(() => subject.close())
    const result = await fuzz(subject, { seed: SEED, runs: RUNS })
    for (const finding of result.findings) t.fail(findingText(finding))
    t.comment(
      `${result.requests} requests; ${[...result.statuses].map((pair) => pair.join(': ')).join(', ')}`,
    )

    // The routes are those the server says it has, so that a new one is fuzzed without anybody remembering it.
    t.ok(subject.operations.length > 50, `${subject.operations.length} operations`)
    for (const each of CLASSES) {
      for (const operation of subject.operations) {
        const name = `${each.name} ${nameOf(operation)}`
        const { sent = 0, reached = 0 } = result.coverage.get(name) ?? {}
        if (sent < RUNS) t.fail(`${name}: ${sent} inputs`)
        if (each.reaches && reached === 0) t.fail(`${name}: no input came to the handler`)
      }
    }
    for (const status of [200, 400, 404, 405, 409, 431, 500]) {
      t.ok(result.statuses.has(status), `answers of ${status}`)
    }
  },
)
