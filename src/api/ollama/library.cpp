#include "api/ollama/library.h"

#include <utility>

#include "api/ollama/names.h"
#include "base/unix_time.h"

namespace pippin::api::ollama {
namespace {

std::string below(const std::string& folder, const char* name) {
  return folder.empty() ? std::string() : folder + "/" + name;
}

// Served models have no tag of their own, as a rule.
Result<service::ModelLease> lease_with_or_without_tag(service::ModelPool& models,
                                                      std::string_view name) {
  Result<service::ModelLease> model = models.lease(name);
  const bool other = short_name(name) != name;
  if (model.ok() || model.error().code != Code::kNotFound || !other) return model;
  return models.lease(short_name(name));
}

}  // namespace

Library::Library(const Context& context)
    : context_(context),
      made_(below(context.data_folder, "made")),
      blobs_folder_(below(context.data_folder, "blobs")) {}

Result<Served> Library::lease(std::string_view name) const {
  std::optional<MadeModel> made = made_.find(name);
  const std::string base(made ? std::string_view(made->from) : name);
  Result<service::ModelLease> model = lease_with_or_without_tag(context_.models, base);
  if (model.ok()) return Served{std::string(name), std::move(*model), std::move(made)};
  Error error = model.error();
  if (error.code == Code::kNotFound) {
    error.message = made ? "model '" + std::string(name) + "' is made of '" + base +
                               "', which is not served here"
                         : "model '" + std::string(name) + "' not found";
  }
  return error;
}

Result<void> Library::keep(MadeModel model) const {
  const std::string_view bare = short_name(model.name);
  if (context_.models.lease(model.name).ok() || context_.models.lease(bare).ok()) {
    return fail(Code::kInvalidArgument,
                "model '" + model.name + "' is served from a file; choose another name", "model");
  }
  model.modified_unix_s = unix_now_s();
  return made_.keep(model);
}

}  // namespace pippin::api::ollama
