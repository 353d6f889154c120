/** A thread that simulates the seeds it is given, one after the other. */
import { parentPort } from 'node:worker_threads'
import { simulate } from './simulation.ts'

parentPort?.on('message', async (seed: number) => {
  parentPort?.postMessage(await simulate(seed))
})
