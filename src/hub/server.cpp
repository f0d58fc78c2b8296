#include "hub/server.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "base/json_read.h"
#include "hub/http_client.h"

namespace pippin::hub {
namespace {

namespace json = boost::json;

double number_in(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_number()) return 0;
  return value->to_number<double>();
}

ServerModel read_model(const json::object& object) {
  const auto size = [&](std::string_view key) { return size_in(object, key).value_or(0); };
  ServerModel model;
  model.id = string_in(object, "id");
  model.architecture = string_in(object, "architecture");
  model.context_tokens = size("context_length");
  model.weights_bytes = size("weights_bytes");
  model.kv_bytes = size("kv_bytes");
  if (const json::value* status = object.if_contains("status"); status && status->is_object()) {
    const json::object& fields = status->get_object();
    model.state = string_in(fields, "value");
    model.memory_bytes = size_in(fields, "memory_bytes").value_or(0);
    const json::value* expires = fields.if_contains("expires_in_s");
    if (expires != nullptr && expires->is_number())
      model.expires_in_s = expires->to_number<double>();
  }
  model.running = size("running");
  model.waiting = size("waiting");
  return model;
}

Result<HttpAnswer> send(const std::string& url, HttpRequest request, const std::string& key) {
  HttpOptions options;
  options.stall = std::chrono::seconds(10);
  HttpClient client(std::move(options));
  request.bearer = key;
  Result<HttpAnswer> answer = client.send(request);
  if (!answer.ok())
    return answer.error().code == Code::kInvalidArgument
               ? answer.error()
               : fail(Code::kUnavailable, fmt::format("no server answers at {}; `pippin serve` "
                                                      "starts one, and --server names another",
                                                      url));
  if (answer->status == 401 || answer->status == 403)
    return fail(Code::kUnauthenticated,
                fmt::format("the server at {} wants a key: set PIPPIN_API_KEY", url));
  return answer;
}

}  // namespace

Result<void> ask_to_unload(const std::string& url, const std::string& key,
                           const std::string& model) {
  HttpRequest request;
  request.url = url + "/models/unload";
  request.headers = {"Content-Type: application/json"};
  request.post = json::serialize(json::object{{"model", model}});
  ASSIGN_OR_RETURN(const HttpAnswer answer, send(url, std::move(request), key));
  if (answer.ok()) return {};
  const Result<json::object> object = parse_object(answer.body, "[hub] " + url);
  const json::value* error = object.ok() ? object->if_contains("error") : nullptr;
  std::string said;
  if (error != nullptr && error->is_object()) said = string_in(error->get_object(), "message");
  return fail(answer.status == 404 ? Code::kNotFound : Code::kUnavailable,
              said.empty() ? fmt::format("the server at {} answers {}", url, answer.status) : said);
}

Result<ServerStatus> ask_server(const std::string& url, const std::string& key) {
  HttpRequest request;
  request.url = url + "/v1/status";
  Result<HttpAnswer> answer = send(url, std::move(request), key);
  if (!answer.ok()) return answer.error();
  const Result<json::object> object = parse_object(answer->body, "[hub] " + url);
  if (!answer->ok() || !object.ok() || !object->contains("ready"))
    return fail(Code::kInvalidFile, fmt::format("what answers at {} is no pippin", url));
  ServerStatus status;
  const json::value* ready = object->if_contains("ready");
  status.ready = ready->is_bool() && ready->get_bool();
  status.reason = string_in(*object, "reason");
  status.version = string_in(*object, "version");
  status.pid = size_in(*object, "pid").value_or(0);
  status.uptime_s = number_in(*object, "uptime_s");
  status.resident_bytes = size_in(*object, "resident_bytes").value_or(0);
  if (const json::array* models = array_in(*object, "models"))
    for (const json::value& model : *models)
      if (model.is_object()) status.models.push_back(read_model(model.get_object()));
  return status;
}

bool is_this_machine(const std::string& url) { return is_loopback(url); }

}  // namespace pippin::hub
