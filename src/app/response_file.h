// Where `pippin serve` keeps the responses of /v1/responses and the batches of /v1/messages/batches.
#pragma once

#include <memory>

#include "app/settings/settings.h"
#include "service/batch_store.h"
#include "service/response_store.h"

namespace pippin::app {

/// Returns the store that the settings ask for: by default
/// ${XDG_STATE_HOME:-~/.local/state}/pippin/responses.db; null if they turn it off. A file that
/// cannot be used now is a warning: it is tried again by every request that needs it.
std::unique_ptr<service::ResponseStore> response_store(const Settings& settings,
                                                       const Environment& environment);

/// The same for batches, in batches.db.
std::unique_ptr<service::BatchStore> batch_store(const Settings& settings,
                                                 const Environment& environment);

}  // namespace pippin::app
