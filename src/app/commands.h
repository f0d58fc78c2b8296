// The commands of the program, and the command line that chooses one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/settings/settings.h"
#include "base/result.h"

namespace pippin::app {

/// Exit codes: as promised in --help.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitFound = 3;  // a check has found something

/// Reads the command line and runs its command. Returns the process's exit code.
int run_command_line(int argc, char** argv);

/// Serves models over HTTP until a signal: those that the user named, or else those of the settings
/// file, or else the default one. Errors: what kept it from serving; kInvalidArgument names a flag.
Result<int> serve(const Settings& settings, const std::vector<std::string>& models);

/// Answers `prompt`, or what stdin holds, or chats where stdin is a terminal.
Result<int> run(const Settings& settings, const std::string& model,
                const std::optional<std::string>& prompt);

/// Measures how fast a model computes here; see bench.h.
Result<int> bench(const Settings& settings, const std::string& model);

/// Checks what is promised, with a model; see doctor.h.
Result<int> doctor(const Settings& settings, const std::string& model);

}  // namespace pippin::app
