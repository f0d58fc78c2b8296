#include "app/hub_model_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "app/pull.h"
#include "hub/cancel.h"
#include "hub/catalogue.h"
#include "hub/name.h"
#include "hub/pull.h"

namespace pippin::app {
namespace {

// What Ollama's clients show for a stage.
std::string status_of(const hub::PullProgress& progress) {
  switch (progress.stage) {
    case hub::PullStage::kLookup:
      return "pulling manifest";
    case hub::PullStage::kCheck:
      return "reading model metadata";
    case hub::PullStage::kDownload:
      return "pulling " + progress.item;
    case hub::PullStage::kVerify:
      return "verifying sha256 digest";
    case hub::PullStage::kWait:
      return "waiting: " + progress.note;
    case hub::PullStage::kFinish:
      return "writing manifest";
  }
  return "pulling";
}

}  // namespace

std::string hub_name(std::string_view name) {
  if (hub::is_model_name(name)) return std::string(name);
  for (const std::string_view host : {"hf.co/", "huggingface.co/"}) {
    if (name.starts_with(host)) return "hf:" + std::string(name.substr(host.size()));
  }
  return "ollama:" + std::string(name);
}

Result<void> HubModelStore::remove(std::string_view name) {
  ASSIGN_OR_RETURN(const hub::Removed removed, hub::remove_model(hub_name(name), paths_));
  return {};
}

Result<void> HubModelStore::pull(std::string_view name,
                                 const std::function<bool(const Progress&)>& go_on) {
  ASSIGN_OR_RETURN(const hub::ModelName wanted, hub::parse_model_name(hub_name(name)));
  // Who may have models fetched may not have the server ask any host it can reach.
  if (const auto* ollama = std::get_if<hub::OllamaName>(&wanted);
      ollama != nullptr && ollama->host != hub::kOllamaHost &&
      !std::ranges::count(registries_, ollama->host)) {
    return fail(
        Code::kPermissionDenied,
        fmt::format("models are not fetched from {}: --registries names the registries that "
                    "this server may ask",
                    ollama->host),
        "model");
  }
  hub::Cancel cancel;
  hub::PullOptions options;
  options.cancel = &cancel;
  options.check = check_servable;
  options.progress = [&](const hub::PullProgress& progress) {
    const bool bytes =
        progress.stage == hub::PullStage::kDownload || progress.stage == hub::PullStage::kVerify;
    Progress told{status_of(progress), bytes ? progress.item : std::string(), 0, 0};
    if (bytes) {
      told.total = progress.total;
      told.completed = progress.done;
    }
    if (!go_on(told)) cancel.request();
  };
  ASSIGN_OR_RETURN(const hub::LocalModel pulled, hub::pull(wanted, paths_, options));
  return {};
}

}  // namespace pippin::app
