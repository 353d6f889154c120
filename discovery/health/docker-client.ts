import type Docker from 'dockerode'

/** Where to connect to, and the prefix of the paths, such as `v1.44`. */
export type DockerClientOptions = Readonly<
  ({ socketPath: string } | { host: string; port: number; protocol: 'http' }) & { version?: string }
>

/**
 * A client of an engine at this address and no other. The package mixes the variables of the docker command (DOCKER_HOST and what
 * belongs to it) into its options, where they would win over the address of a socket.
 */
export async function openDockerClient(options: DockerClientOptions): Promise<Docker> {
  // Loaded by the first who needs it, as most agents have no use for it.
  const { default: Client } = await import('dockerode')
  const { DOCKER_HOST } = process.env
  delete process.env.DOCKER_HOST
  try {
    return new Client({ ...options })
  } finally {
    if (DOCKER_HOST !== undefined) process.env.DOCKER_HOST = DOCKER_HOST
  }
}
