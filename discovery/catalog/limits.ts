/** Bounds of what one node may say about itself. Lengths in characters unless they say bytes. */
export const LIMITS = Object.freeze({
  peerIdChars: 128,
  nodeNameChars: 255,
  addressChars: 255,
  idChars: 512,
  nameChars: 255,
  tags: 128,
  tagChars: 512,
  metaPairs: 64,
  metaKeyChars: 128,
  metaValueChars: 512,
  taggedAddresses: 16,
  labels: 256,
  labelKeyChars: 256,
  labelValueChars: 4096,
  endpoints: 64,
  textChars: 4096,
  durationChars: 64,
  services: 4096,
  checks: 8192,
  /** Services and checks of one node as JSON. */
  recordBytes: 256 * 1024,
})
