// The secret that signs what clients send back: thinking of /v1/messages.
#pragma once

#include <string>

#include "app/settings/settings.h"

namespace pippin::app {

/// Returns the key in the file that the settings name: by default
/// ${XDG_STATE_HOME:-~/.local/state}/pippin/signing.key, made at its first use for its owner only.
/// Empty, with a warning, if the file cannot be used; and if the settings say "off".
std::string signing_key(const Settings& settings, const Environment& environment);

}  // namespace pippin::app
