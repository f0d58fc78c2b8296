// HubModelStore: the models on disk, for the APIs. Names are those of Ollama's clients. Owner:
// serve. Thread: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/model_store.h"
#include "hub/paths.h"

namespace pippin::app {

/// Returns the hub's name for one that a client of Ollama's API writes: "hf.co/org/repo:Q4_K_M" is
/// "hf:org/repo:Q4_K_M", "qwen2.5:0.5b" is "ollama:qwen2.5:0.5b".
std::string hub_name(std::string_view name);

class HubModelStore final : public api::ModelStore {
 public:
  /// `registries`: hosts of Ollama registries that may be pulled from beside the configured one.
  HubModelStore(const hub::Paths& paths, const std::vector<std::string>& registries)
      : paths_(paths), registries_(registries) {}

  Result<void> remove(std::string_view name) override;
  Result<void> pull(std::string_view name,
                    const std::function<bool(const Progress&)>& go_on) override;

 private:
  const hub::Paths& paths_;
  const std::vector<std::string>& registries_;
};

}  // namespace pippin::app
