// Environment: the process's variables, and the home folder that they tell. Thread: any.
#pragma once

#include <filesystem>
#include <functional>

namespace pippin {

/// Returns the value of an environment variable, or null.
using Environment = std::function<const char*(const char* name)>;

/// Looks into the process's own variables, as an Environment.
const char* environment_variable(const char* name);

/// Returns $HOME, else what the system's list of users says, else "/": never the current folder,
/// where a program's files would surprise.
std::filesystem::path home_folder(const Environment& environment);

/// Returns ${VARIABLE:-~/BELOW}, as in ${XDG_STATE_HOME:-~/.local/state}.
std::filesystem::path folder_of_home(const Environment& environment, const char* variable,
                                     const char* below);

}  // namespace pippin
