// Which models a key may use: others are as good as none. Thread: any.
#pragma once

#include <string_view>
#include <vector>

#include "api/context.h"
#include "base/request_context.h"
#include "service/models/model_status.h"

namespace pippin::api {

/// Returns whether a caller, null where no keys are asked for, may use a model.
bool may_use(const RequestContext* caller, const service::ModelInfo& model);

/// Errors: kNotFound, if the name means no model that the caller may use. A caller that may use all
/// is not checked: what leases the model says that there is none.
Result<void> check_model(const Context& context, const RequestContext* caller,
                         std::string_view name);

/// Returns those of the models that a caller may use.
std::vector<service::ModelStatus> usable(const RequestContext* caller,
                                         std::vector<service::ModelStatus> models);

/// Returns whether a caller may load, unload, fetch and remove models.
bool may_manage(const RequestContext* caller);

}  // namespace pippin::api
