import { isDeepStrictEqual } from 'node:util'
import { SETTING_PATHS, SETTINGS, type SettingPath } from './schema.ts'
import type { Config } from './types.ts'

/** What a reload (SIGHUP) is about: the settings that differ, and those of them that only a restart applies. */
export function diffReloadable(
  old: Config,
  next: Config,
): { readonly changed: readonly SettingPath[]; readonly needsRestart: readonly SettingPath[] } {
  const changed = SETTING_PATHS.filter((settingPath) => {
    const { read } = SETTINGS[settingPath]
    return !isDeepStrictEqual(read(old), read(next))
  })
  return { changed, needsRestart: changed.filter((settingPath) => !SETTINGS[settingPath].reloadable) }
}
