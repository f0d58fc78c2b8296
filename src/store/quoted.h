// Words from files, in messages. Internal to store.
#pragma once

#include <string>
#include <string_view>

namespace pippin::store {

/// Returns a name from the file in quotes, fit for a message: control bytes escaped, long names
/// cut.
std::string quoted(std::string_view name);

}  // namespace pippin::store
