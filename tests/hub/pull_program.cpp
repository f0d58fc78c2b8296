// The pull that the tests in this folder drive: hub::pull as `pippin pull` calls it, with short
// waits, and without MLX. Prints the model's path; an error as "CODE: MESSAGE" on stderr.
//
//   pull_program pull NAME
//   pull_program resolve NAME, rm NAME, list
//                         PIPPIN_TEST_STALL_MS, PIPPIN_TEST_ATTEMPTS, PIPPIN_TEST_PAUSE_S,
//                         PIPPIN_TEST_CONNECTIONS; PIPPIN_TEST_CANCEL_AT: bytes after which it is
//                         cancelled; PIPPIN_TEST_ARCHITECTURES: those that are not refused
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <string>

#include "hub/aliases.h"
#include "hub/cancel.h"
#include "hub/catalogue.h"
#include "hub/paths.h"
#include "hub/pull.h"

namespace {

using namespace pippin;

long number(const char* name, long otherwise) {
  const char* text = environment_variable(name);
  return text != nullptr ? std::atol(text) : otherwise;
}

int failed(const Error& error) {
  fmt::print(stderr, "{}: {}\n", code_name(error.code), error.message);
  return 1;
}

Result<void> check_architecture(const store::ModelConfig& config) {
  const std::string& architecture = config.architecture;
  const char* known = environment_variable("PIPPIN_TEST_ARCHITECTURES");
  if (known == nullptr || std::string_view(known).find(architecture) != std::string_view::npos)
    return {};
  return fail(Code::kUnsupported, fmt::format("architecture '{}' is not supported", architecture));
}

// The registry that a test names, as `pippin pull` takes it from its settings.
hub::PathOptions path_options() {
  const char* registry = environment_variable("PIPPIN_OLLAMA_REGISTRY");
  return {.ollama_registry = registry != nullptr ? registry : ""};
}

Result<int> run(const std::string& command, const std::string& named) {
  ASSIGN_OR_RETURN(const hub::Paths paths, hub::find_paths(path_options(), environment_variable));
  if (command == "list") {
    for (const hub::LocalModel& model : hub::list_models(paths))
      fmt::print("{}\t{}\t{}\t{}\n", model.name, model.path.string(), model.bytes,
                 fmt::join(model.aliases, ","));
    return 0;
  }
  if (command == "resolve") {
    ASSIGN_OR_RETURN(const hub::LocalModel model, hub::resolve(named, paths));
    fmt::print("{}\n", model.path.string());
    return 0;
  }
  if (command == "rm") {
    ASSIGN_OR_RETURN(const hub::Removed removed, hub::remove_model(named, paths));
    fmt::print("{}\n", removed.freed_bytes);
    return 0;
  }
  ASSIGN_OR_RETURN(const hub::ModelName name, hub::parse_model_name(named));
  hub::Cancel cancel;
  hub::PullOptions options;
  options.cancel = &cancel;
  options.connections = static_cast<int>(number("PIPPIN_TEST_CONNECTIONS", 4));
  options.stall = std::chrono::milliseconds(number("PIPPIN_TEST_STALL_MS", 2000));
  options.attempts_max = static_cast<int>(number("PIPPIN_TEST_ATTEMPTS", 4));
  options.pause_max = std::chrono::seconds(number("PIPPIN_TEST_PAUSE_S", 5));
  options.check = check_architecture;
  const long cancel_at = number("PIPPIN_TEST_CANCEL_AT", -1);
  options.progress = [&](const hub::PullProgress& now) {
    if (now.stage == hub::PullStage::kWait) fmt::print(stderr, "waiting: {}\n", now.note);
    if (cancel_at >= 0 && now.done >= static_cast<uint64_t>(cancel_at)) cancel.request();
  };
  ASSIGN_OR_RETURN(const hub::LocalModel model, hub::pull(name, paths, options));
  fmt::print("{}\n", model.path.string());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "", named = argc > 2 ? argv[2] : "";
  const Result<int> code = run(command, named);
  return code.ok() ? *code : failed(code.error());
}
