// pippin show MODEL: what a model is, what its chat template can do, and what memory it takes here,
// read from the headers of its files. Thread: any.
#pragma once

#include <string>

#include "app/settings/settings.h"
#include "base/result.h"

namespace pippin::app {

/// A model that cannot be served is shown, too, with the reason. Errors: of hub::resolve();
/// kInvalidArgument, a context beyond the model's own.
Result<int> show(const Settings& settings, const std::string& named);

}  // namespace pippin::app
