import { BUSYBOX } from './docker/image.ts'
import { enterOwnNamespace, isInOwnNamespace, unavailable } from './docker/own-namespace.ts'

const reason = unavailable(['podman', 'conmon', 'runc', BUSYBOX])
if (reason !== null) {
  const { default: t } = await import('tap')
  t.test('the containers of a real Podman', { skip: reason }, () => {})
} else if (isInOwnNamespace()) {
  await import('./docker/podman-scenarios.ts')
} else {
  process.exitCode = await enterOwnNamespace()
}
