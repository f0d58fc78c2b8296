// pippin launch CLIENT: starts an agent or a chat as a client of a running server.
#pragma once

#include <string>
#include <vector>

#include "app/settings/settings.h"
#include "base/result.h"

namespace pippin::app {

/// Asks the server of the settings which model it serves, and replaces this process by the client;
/// with --print, only prints what would be set. `arguments`: further ones for the client. Errors:
/// kInvalidArgument for an unknown client; kUnavailable when no server runs; kNotFound when the
/// client is not installed.
Result<int> launch(const Settings& settings, const std::string& client,
                   const std::vector<std::string>& arguments);

}  // namespace pippin::app
