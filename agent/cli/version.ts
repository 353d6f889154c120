import manifest from '../../package.json' with { type: 'json' }

/** Version of this program. The bundler writes it into the executable. */
export const VERSION: string = manifest.version
