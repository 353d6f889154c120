import { generateClusterKey, parseClusterKey } from '../../../discovery/mesh/cluster-key.ts'
import { Libp2pMesh } from '../../../discovery/mesh/libp2p-mesh.ts'
import { capturedLog } from './cluster.ts'

/** A node in a process of its own: `member.ts DATA_DIR KEY`. Prints its address, answers `echo`, dies by signal. */
const [, , dataDir = '', key = generateClusterKey()] = process.argv
const mesh = await Libp2pMesh.create(
  {
    dataDir,
    clusterName: 'home',
    keys: [parseClusterKey(key)],
    listen: { host: '127.0.0.1', port: 0 },
    advertise: null,
  },
  { log: capturedLog().log },
)
mesh.onRequest('echo', async (_from, payload) => payload)
await mesh.start()
// Whoever started this process holds the other end of its input: without them it has no business going on.
process.stdin.on('end', () => process.exit()).resume()
process.stdout.write(`${mesh.advertise}\n`)
