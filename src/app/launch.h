// pippin launch CLIENT: starts an agent or a chat with a running server as its model.
#pragma once

#include <string>
#include <vector>

#include "app/settings/settings.h"
#include "base/result.h"

namespace pippin::app {

/// Asks the server of the settings what it serves, and becomes the client; with --print it only
/// tells what to set. `arguments`: what the client gets beside its own. Errors: kInvalidArgument
/// for an unknown client; kUnavailable when no server runs; kNotFound when the client is not
/// installed.
Result<int> launch(const Settings& settings, const std::string& client,
                   const std::vector<std::string>& arguments);

}  // namespace pippin::app
