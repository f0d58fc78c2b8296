#include "api/shared/model_access.h"

#include <algorithm>
#include <string>
#include <utility>

#include "service/models/model_pool.h"

namespace pippin::api {

bool may_use(const RequestContext* caller, const service::ModelInfo& model) {
  if (caller == nullptr || caller->permissions().models.empty()) return true;
  return std::ranges::any_of(caller->permissions().models, [&](const std::string& name) {
    return name == model.id || std::ranges::find(model.aliases, name) != model.aliases.end();
  });
}

Result<void> check_model(const Context& context, const RequestContext* caller,
                         std::string_view name) {
  if (caller == nullptr || caller->permissions().models.empty()) return {};
  const Result<service::ModelStatus> model = context.models.look(name);
  if (model.ok() && may_use(caller, model->info)) return {};
  return fail(Code::kNotFound,
              "The model `" + std::string(name) + "` is none that this key may use.", "model");
}

std::vector<service::ModelStatus> usable(const RequestContext* caller,
                                         std::vector<service::ModelStatus> models) {
  std::erase_if(models,
                [&](const service::ModelStatus& model) { return !may_use(caller, model.info); });
  return models;
}

bool may_manage(const RequestContext* caller) {
  return authorise(caller, {Action::kManage}) == Verdict::kGranted;
}

}  // namespace pippin::api
