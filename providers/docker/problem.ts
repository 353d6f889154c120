/**
 * Why a container is not what its labels ask for. `unknown`: no such label. `value`: a label with a value it cannot have.
 * `unused`: a label without an effect here. `policy`: the engine acts against a label. `unreachable`: a port no other host can reach. `refused`: the catalogue did not take it.
 */
export type DockerProblemCode = 'unknown' | 'value' | 'unused' | 'policy' | 'unreachable' | 'refused'

/** Something about one container that its owner should know. */
export interface DockerProblem {
  readonly code: DockerProblemCode
  /** The label or the port it is about. */
  readonly about: string
  /** A sentence that says what to do, where there is something. */
  readonly message: string
}
