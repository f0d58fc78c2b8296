// Aliases: short names of models, in a small file of `name = target` lines. Thread: any; written by
// renaming.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/result.h"

namespace pippin::hub {

/// Alias to what it means: hf:..., ollama:..., a path or another alias.
using Aliases = std::map<std::string, std::string, std::less<>>;

/// Reads the file; none where there is no file. Errors: kInvalidFile naming the line.
Result<Aliases> read_aliases(const std::filesystem::path& file);
/// Returns what a name means once all aliases are followed; itself where it is none. Errors:
/// kInvalidArgument for a circle.
Result<std::string> end_of_alias(const Aliases& aliases, const std::string& name);
/// Adds or replaces an alias. Errors: kInvalidArgument for a name that could be taken for a path or
/// another kind of name, and for a circle; kUnavailable when the file cannot be written.
Result<void> set_alias(const std::filesystem::path& file, const std::string& name,
                       const std::string& target);
/// Removes an alias. Returns whether there was one.
Result<bool> remove_alias(const std::filesystem::path& file, const std::string& name);

}  // namespace pippin::hub
