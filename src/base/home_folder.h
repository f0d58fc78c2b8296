// home_folder: where a user's own files lie. Thread: any.
#pragma once

#include <filesystem>

#include "base/settings.h"

namespace pippin {

/// Returns $HOME, else what the system's list of users says, else "/": never the current folder,
/// where a program's files would surprise.
std::filesystem::path home_folder(const Environment& environment);

/// Returns ${VARIABLE:-~/BELOW}, as in ${XDG_STATE_HOME:-~/.local/state}.
std::filesystem::path folder_of_home(const Environment& environment, const char* variable,
                                     const char* below);

}  // namespace pippin
