// convert: the command that writes a model anew in another weight format.
#pragma once

#include <string>

#include "app/settings/settings.h"
#include "base/result.h"

namespace pippin::app {

/// Converts the model that `named` means, by settings.convert_*. `version`: of the program, for the
/// manifest. Errors: kInvalidArgument naming a flag; kUnsupported, what cannot be converted and
/// what can be done instead; of store::write_conversion().
Result<int> convert(const Settings& settings, const std::string& named, const std::string& version);

}  // namespace pippin::app
