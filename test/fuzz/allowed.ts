/**
 * Every text a 5xx may have, from its first to its last character: refusals Consul's clients know, and states in which the agent
 * cannot do what it was asked. Anything else is a bug. `internal error` is not here and never will be.
 */
export const ALLOWED_5XX: readonly (readonly [status: number, text: RegExp])[] = [
  [500, /^No cluster leader$/],
  [500, /^No path to datacenter$/],
  [500, /^missing session$/],
  [500, /^invalid session "[\s\S]*"$/],
  [500, /^Invalid Session TTL '-?\d+', must be between \[\w+=\w+\]$/],
  [500, /^Session TTL '[\s\S]*' invalid: time: [\s\S]+$/],
  [500, /^Invalid Behavior setting '[\s\S]+'$/],
  [500, /^Missing node registration$/],
  [500, /^Missing check '[\s\S]*' registration$/],
  [500, /^Check '[\s\S]*' is in critical state$/],
  [500, /^CheckID "[\s\S]*" does not have associated TTL$/],
  [500, /^agent: No node found with name '[\s\S]*'$/],
  [500, /^Connect must be enabled in order to use this endpoint$/],
  [500, /^there is no other datacenter to join$/],
  // A service that is critical or in maintenance, as a word or with the reasons.
  [503, /^(critical|maintenance)$/],
  [503, /^\[?\{"AggregatedStatus":"(critical|maintenance)",[\s\S]*\}\]?$/],
  // A filter that cannot be used.
  [500, /^Failed to create boolean expression evaluator: [\s\S]+$/],
  // PUT /v1/catalog/register and deregister, and the same in a transaction.
  [500, /^Must provide (node|address|service ID|check ID)$/],
  [500, /^Must provide address if SkipNodeUpdate is not set$/],
  [500, /^Must provide service name \(Service\.Service\) when service ID is provided$/],
  [500, /^Node "[\s\S]*" is not registered$/],
  [500, /^Bad node ID: "[\s\S]*" is no UUID$/],
  [500, /^Invalid service (address|port)$/],
  [500, /^Invalid (Service Meta|Weights): [\s\S]+$/],
  [500, /^Invalid check: bad status "[\s\S]*"$/],
  [500, /^Unknown service ID '[\s\S]*' for check ID '[\s\S]*'$/],
  [500, /^Node '[\s\S]*' for check '[\s\S]*' doesn't match register request node '[\s\S]*'$/],
  // DELETE /v1/operator/raft/peer.
  [500, /^(id|address) "[\s\S]*" was not found in the Raft configuration$/],
  [500, /^\S+ leads the cluster: transfer leadership to another node first$/],
  // PUT /v1/snapshot with something that is no archive.
  [500, /^the snapshot is damaged: [\s\S]+$/],
  [500, /^this is not a snapshot of Constellation: [\s\S]+$/],
  [500, /^nothing was restored: [\s\S]+$/],
]

/** Longest part of an answer that a message about it quotes. */
const QUOTED = 300

/** Why an answer of 500 or more is a bug; null if its text is known. */
export function unknownFailure(status: number, text: string): string | null {
  if (status < 500) return null
  if (ALLOWED_5XX.some(([allowed, pattern]) => allowed === status && pattern.test(text))) return null
  return `${status} ${JSON.stringify(text.slice(0, QUOTED))} is not a documented refusal`
}
