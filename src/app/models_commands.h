// The commands about models on this machine, and about a running server.
#pragma once

#include <optional>
#include <string>

#include "app/settings/settings.h"
#include "base/result.h"

namespace pippin::app {

/// pippin list: every model on this machine.
Result<int> list(const Settings& settings);
/// pippin rm MODEL: removes a model, or an alias.
Result<int> remove(const Settings& settings, const std::string& named);
/// pippin alias [NAME [MODEL]]: lists aliases, shows one, or sets it.
Result<int> alias(const Settings& settings, const std::string& name,
                  const std::optional<std::string>& target);

/// pippin ps: the models of a running server.
Result<int> ps(const Settings& settings);
/// pippin stop [MODEL]: makes a server unload a model, or ends a server on this machine as SIGTERM
/// does. Running answers may end first.
Result<int> stop(const Settings& settings, const std::string& model);

}  // namespace pippin::app
