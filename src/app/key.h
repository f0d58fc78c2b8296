// API keys at the command line, and where their file is.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "app/settings/settings.h"
#include "base/result.h"
#include "service/access/authenticator.h"

namespace pippin::app {

/// Runs `pippin key create NAME`, `pippin key list` or `pippin key revoke ID`. Returns: the exit
/// code. Errors: kInvalidArgument for what is not one of these; of KeyStore.
Result<int> key(const Settings& settings, const std::string& action,
                const std::optional<std::string>& which);

/// Returns the file of keys that the settings ask for: by default
/// ${XDG_STATE_HOME:-~/.local/state}/pippin/keys.db; nothing if they turn it off.
std::optional<std::string> keys_path(const Settings& settings, const Environment& environment);

/// Returns what checks API keys; null if the settings turn keys off. Errors: kUnavailable, if the
/// file exists and cannot be read: the server must not start without its keys.
Result<std::unique_ptr<service::Authenticator>> make_authenticator(const Settings& settings,
                                                                   const Environment& environment);

}  // namespace pippin::app
