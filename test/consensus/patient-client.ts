import type { CallOptions, ConsensusClient } from '../../consensus/client.ts'

/** How long a call of a test waits that names no time: longer than a busy machine stands still. */
const CALL_MS = 20_000

/** A client whose calls are given `CALL_MS` where the caller names no time, instead of what the product takes by itself. */
export function patientClient(client: ConsensusClient): ConsensusClient {
  const within = (options?: CallOptions): CallOptions => ({ timeoutMs: CALL_MS, ...options })
  return {
    propose: (command, options) => client.propose(command, within(options)),
    read: (consistency, options) => client.read(consistency, within(options)),
    renewSession: (id, options) => client.renewSession(id, within(options)),
    report: (options) => client.report(within(options)),
    autopilot: (consistency, options) => client.autopilot(consistency, within(options)),
    setAutopilot: (config, cas, options) => client.setAutopilot(config, cas, within(options)),
    transferLeadership: (to, options) => client.transferLeadership(to, within(options)),
    removePeer: (id, options) => client.removePeer(id, within(options)),
    addVoter: (id, options) => client.addVoter(id, within(options)),
    cordon: (id, name, options) => client.cordon(id, name, within(options)),
    drain: (id, name, options) => client.drain(id, name, within(options)),
    uncordon: (id, options) => client.uncordon(id, within(options)),
    watch: (selector, listener) => client.watch(selector, listener),
    status: () => client.status(),
    onStatus: (listener) => client.onStatus(listener),
  }
}
