#include "api/openai/model_route.h"

#include <optional>
#include <string>
#include <utility>

#include "api/openai/errors.h"
#include "api/openai/read_common.h"

namespace pippin::api::openai {
namespace {

constexpr ApiFormat kFormat{
    .error = [](const Error& error, const Request&) { return error_response(error); },
    .field_error = [](const FieldError& error,
                      const Request&) { return error_response(api_error(error)); },
    .body_error = [](const Error& error, const Request&) { return body_error(error); },
};

std::optional<ModelChoice> choose_model(ModelField field, FieldReader& body) {
  std::optional<std::string_view> named = body.string("model");
  if (!named && field == ModelField::kOptional) named = "default";
  if (!named) body.missing("model");
  const std::optional<TimePoint> deadline = read_deadline(body);
  if (!body.ok()) return std::nullopt;
  return ModelChoice{.name = std::string(*named), .deadline = deadline};
}

}  // namespace

Response body_error(const Error& error) {
  ApiError told = api_error(error);
  if (error.code == Code::kInvalidArgument) told.code = "invalid_json";
  return error_response(told);
}

Handler model_route(const Context& context, std::function<void(ApiRequest)> serve,
                    ModelField field) {
  const auto choose = [field](Exchange&, FieldReader& body) { return choose_model(field, body); };
  return make_handler(context, {kFormat, choose, std::move(serve)});
}

}  // namespace pippin::api::openai
