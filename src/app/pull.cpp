#include "app/pull.h"

#include <fmt/format.h>

#include <cstdio>
#include <optional>

#include "app/commands.h"
#include "app/default_model.h"
#include "app/progress.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "hub/pull.h"
#include "models/model.h"

namespace pippin::app {
namespace {

/// Shows a pull on stderr: a line for each file, and what it waits for.
class PullPrinter {
 public:
  void operator()(const hub::PullProgress& now) {
    switch (now.stage) {
      case hub::PullStage::kLookup:
      case hub::PullStage::kCheck:
      case hub::PullStage::kFinish:
        break;
      case hub::PullStage::kWait:
        end();
        fmt::print(stderr, "waiting: {}\n", now.note);
        break;
      case hub::PullStage::kVerify:
        show("checking " + label_of(now.item) + " so far", now);
        break;
      case hub::PullStage::kDownload:
        show("pulling " + label_of(now.item), now);
        break;
    }
  }

 private:
  /// The last part of a path; the beginning of a digest.
  static std::string label_of(const std::string& item) {
    if (item.starts_with("sha256:")) return item.substr(0, 19);
    return printable(item.substr(item.rfind('/') + 1));
  }

  void show(const std::string& label, const hub::PullProgress& now) {
    if (!line_ || label != label_) {
      end();
      label_ = label;
      // What was there before costs no time: rate and rest are of what is fetched now.
      before_ = now.done;
      line_.emplace(label, stderr, is_terminal(stderr), clock_);
    }
    const uint64_t before = std::min(before_, now.done);
    line_->update(now.done - before, now.total - std::min(before, now.total));
    if (now.done == now.total) end();
  }
  void end() {
    if (line_) line_->finish();
    line_.reset();
  }

  const SystemClock clock_;
  std::string label_;
  uint64_t before_ = 0;
  std::optional<Progress> line_;
};

}  // namespace

Result<void> check_servable(const store::ModelConfig& config) {
  RETURN_IF_ERROR(models::make_spec(config));
  return {};
}

Result<hub::LocalModel> pull_model(const Settings& settings, const std::string& named,
                                   const hub::Paths& paths) {
  ASSIGN_OR_RETURN(const std::string target, hub::unalias(named, paths));
  ASSIGN_OR_RETURN(const hub::ModelName name, hub::parse_model_name(target));
  PullPrinter printer;
  hub::PullOptions options;
  options.progress = std::ref(printer);
  options.connections = settings.pull_connections;
  if (!settings.pull_any) {
    options.check = [](const store::ModelConfig& config) -> Result<void> {
      const Result<void> servable = check_servable(config);
      if (servable.ok()) return {};
      return fail(servable.error().code,
                  servable.error().message + "; nothing was fetched (`pippin pull --any` does)");
    };
  }
  return hub::pull(name, paths, options);
}

Result<int> pull(const Settings& settings, const std::string& named) {
  if (named.empty())
    return fail(Code::kInvalidArgument, "pull what? as in: pippin pull hf:ORG/REPO:Q4_K_M", "--");
  ASSIGN_OR_RETURN(const hub::Paths paths, model_paths(settings, environment_variable));
  ASSIGN_OR_RETURN(const hub::LocalModel model, pull_model(settings, named, paths));
  fmt::print("{}\n{}\n", model.name, model.path.string());
  return kExitOk;
}

}  // namespace pippin::app
