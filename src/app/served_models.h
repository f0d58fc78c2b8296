// Which models a server has: those that were named, those of the settings file, and those on disk.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "app/settings/settings.h"
#include "base/result.h"
#include "hub/catalogue.h"
#include "hub/paths.h"
#include "service/models/model_pool.h"

namespace pippin::app {

/// A model that the server knows from the start.
struct NamedModel {
  service::ModelSpec spec;
  bool at_start = false;  // loaded before the server is ready
};

/// Returns the models of `named` and of the settings file; if there are none, the default one. The
/// first is what requests call "default". What was named is fetched where it is not here. Errors:
/// of find_model(); kInvalidArgument, naming the file's line; a name of --pin that no model has.
Result<std::vector<NamedModel>> named_models(const Settings& settings,
                                             const std::vector<std::string>& named,
                                             const Environment& environment);

/// Returns the time of --keep-alive or keep_alive; `otherwise` where the text is empty. Errors:
/// kInvalidArgument, naming `origin`.
Result<service::KeepAlive> keep_alive_of(const std::string& text, std::string_view origin,
                                         service::KeepAlive otherwise);

/// The models on this machine's disks, for --models-on-demand. A name from a request is only ever
/// looked up in the catalogue: it opens no path. Thread: any.
class DiskModels final : public service::ModelSource {
 public:
  /// Borrows both. Errors: kInvalidArgument.
  static Result<std::unique_ptr<DiskModels>> make(const Settings& settings,
                                                  const hub::Paths& paths);

  Result<service::ModelSpec> find(std::string_view name) override;
  std::vector<service::ModelSpec> list() override;

 private:
  DiskModels(const Settings& settings, const hub::Paths& paths, service::KeepAlive keep_alive)
      : settings_(settings), paths_(paths), keep_alive_(keep_alive) {}

  const Settings& settings_;
  const hub::Paths& paths_;
  const service::KeepAlive keep_alive_;
};

}  // namespace pippin::app
