// What a model's files say of its license. Thread: any.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pippin::store {

class Checkpoint;

inline constexpr size_t kLicenseBytesMax = size_t{64} << 10;  // of a text that is read

/// Returns what a folder says: its README.md's front matter, license_name where the license is
/// "other", else the heading of its LICENSE file. Empty where neither says.
std::string folder_license(const std::string& folder);
/// Returns the text of the license: a folder's LICENSE file. Empty without one.
std::string license_text(const Checkpoint& checkpoint);
/// Returns the first line of a text that says anything: the license's name, as a rule. 100 bytes at
/// most.
std::string license_heading(std::string_view text);
/// Returns the beginning of a file, kLicenseBytesMax at most; empty where it cannot be read.
std::string read_license_file(const std::string& path);

}  // namespace pippin::store
