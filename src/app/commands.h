// The commands of the program, and the command line that chooses one.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "base/settings.h"

namespace pippin::app {

/// Exit codes: as promised in --help.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitFound = 3;  // a check has found something

/// Reads the command line and runs its command. Returns the process's exit code.
int run_command_line(int argc, char** argv);

/// Serves a model over HTTP until a signal. `model` is what the user named; empty: the default.
/// Errors: what kept it from serving; kInvalidArgument names a flag.
Result<int> serve(const Settings& settings, const std::string& model);

/// Answers `prompt`, or what stdin holds, or chats where stdin is a terminal.
Result<int> run(const Settings& settings, const std::string& model,
                const std::optional<std::string>& prompt);

/// Measures how fast a model computes here; see bench.h.
Result<int> bench(const Settings& settings, const std::string& model);

/// Checks what is promised, with a model; see doctor.h.
Result<int> doctor(const Settings& settings, const std::string& model);

}  // namespace pippin::app
