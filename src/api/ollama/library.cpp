#include "api/ollama/library.h"

#include <algorithm>
#include <utility>

#include "api/ollama/names.h"
#include "api/shared/model_access.h"
#include "base/unix_time.h"
#include "service/models/model_pool.h"

namespace pippin::api::ollama {
namespace {

std::string below(const std::string& folder, const char* name) {
  return folder.empty() ? std::string() : folder + "/" + name;
}

}  // namespace

Library::Library(const Context& context)
    : context_(context),
      made_folder_(below(context.data_folder, "made")),
      made_(made_folder_, index_),
      blobs_folder_(below(context.data_folder, "blobs")) {}

DerivedModels Library::made_by(const RequestContext* caller) const {
  if (may_manage(caller)) return made_;
  const int64_t bytes = caller->permissions().storage_bytes;
  return DerivedModels(
      below(made_folder_, caller->key_id().c_str()), index_,
      bytes > 0 ? std::min(static_cast<uint64_t>(bytes), kDerivedBytesMax) : kDerivedBytesMax);
}

std::vector<DerivedHead> Library::made_for(const RequestContext* caller) const {
  std::vector<DerivedHead> models = made_by(caller).list();
  if (may_manage(caller)) return models;
  for (DerivedHead& shared : made_.list()) {
    if (std::ranges::find(models, shared.name, &DerivedHead::name) == models.end())
      models.push_back(std::move(shared));
  }
  return models;
}

Result<Wanted> Library::find(std::string_view name, const RequestContext* caller) const {
  std::optional<DerivedModel> made = made_by(caller).find(name);
  if (!made) made = made_.find(name);
  const std::string base(made ? std::string_view(made->from) : name);
  // Served models have no tag of their own, as a rule; those of Ollama's store have one.
  for (const std::string& known : {base, std::string(short_name(base)), full_name(base)}) {
    if (context_.models.knows(known) && check_model(context_, caller, known).ok())
      return Wanted{std::string(name), known, std::move(made)};
  }
  return fail(
      Code::kNotFound,
      made ? "model '" + std::string(name) + "' is made of '" + base + "', which is not served here"
           : "model '" + std::string(name) + "' not found",
      "model");
}

Result<void> Library::keep(DerivedModel model, const RequestContext* caller) const {
  const std::string_view bare = short_name(model.name);
  if (context_.models.knows(model.name) || context_.models.knows(bare)) {
    return fail(Code::kInvalidArgument,
                "model '" + model.name + "' is served from a file; choose another name", "model");
  }
  model.modified_unix_s = unix_now_s();
  return made_by(caller).keep(model);
}

}  // namespace pippin::api::ollama
