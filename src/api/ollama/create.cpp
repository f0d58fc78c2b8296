// POST /api/create: a model made of one that is served, from a Modelfile or its JSON form.
#include <fmt/format.h>

#include <utility>

#include "api/ollama/errors.h"
#include "api/ollama/go_template.h"
#include "api/ollama/model_route.h"
#include "api/ollama/modelfile.h"
#include "api/ollama/names.h"
#include "api/ollama/ollama.h"
#include "api/ollama/read_messages.h"
#include "api/ollama/read_options.h"
#include "api/ollama/writer.h"
#include "service/models/model_pool.h"

namespace pippin::api::ollama {
namespace {

constexpr const char* kStatuses[] = {"reading model metadata", "writing manifest", "success"};

bool is_there(const FieldReader& reader, std::string_view name) {
  const boost::json::value* value = reader.any(name);
  if (value == nullptr) return false;
  if (const auto* object = value->if_object()) return !object->empty();
  if (const auto* text = value->if_string()) return !text->empty();
  return true;
}

std::string read_license(FieldReader& reader) {
  const boost::json::value* value = reader.any("license");
  const boost::json::array* list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr) return std::string(reader.string("license").value_or(""));
  std::string joined;
  for (const boost::json::value& entry : *list) {
    const boost::json::string* text = entry.if_string();
    if (text == nullptr) {
      reader.wrong_type("license", "a string or an array of strings", entry);
      return {};
    }
    if (!joined.empty()) joined += '\n';
    joined += std::string_view(*text);
  }
  return joined;
}

// The JSON form; a Modelfile's text, if there is one, stands below it.
Result<Modelfile> read_fields(FieldReader& reader) {
  Modelfile file;
  if (const auto text = reader.string("modelfile"); text && !text->empty()) {
    ASSIGN_OR_RETURN(file, parse_modelfile(*text));
  }
  const auto set = [&](const char* name, std::string& to) {
    if (const auto text = reader.string(name); text && !text->empty()) to = *text;
  };
  set("from", file.from);
  set("system", file.system);
  set("template", file.template_text);
  if (const std::string license = read_license(reader); !license.empty()) file.license = license;
  if (const boost::json::object* parameters = reader.object("parameters")) {
    for (const auto& [name, value] : *parameters) file.parameters[name] = value;
  }
  if (const boost::json::array* messages = reader.array("messages")) file.messages = *messages;
  if (is_there(reader, "adapters")) file.adapter = "adapters";
  return file;
}

// What cannot be done yet is said, not passed over.
Result<void> check_able(const FieldReader& reader, const Modelfile& file) {
  if (!file.adapter.empty())
    return fail(Code::kUnsupported, "ADAPTER: adapters cannot be served yet", "adapters");
  for (const char* name : {"quantize", "quantization"}) {
    if (is_there(reader, name))
      return fail(Code::kUnsupported, "models are not quantized here: fetch a quantized one", name);
  }
  if (is_there(reader, "files")) {
    return fail(
        Code::kUnsupported,
        "a model cannot be made of uploaded files: name the file when the server is started",
        "files");
  }
  return {};
}

// What requests will read is checked now, when the one who wrote it can mend it.
Result<void> check_contents(const Modelfile& file, const service::ModelInfo& model) {
  if (!file.template_text.empty()) {
    RETURN_IF_ERROR(check_go_template(file.template_text));
  }
  const boost::json::object none;
  FieldReader root(none);
  FieldReader parameters(file.parameters, "parameters", root);
  service::Request request;
  read_options(parameters, model, request);
  std::vector<service::Message> messages;
  read_messages(root, "messages", file.messages, messages);
  if (root.ok()) return {};
  return fail(Code::kInvalidArgument, root.error()->message, root.error()->field);
}

Result<void> make(const Library& library, FieldReader& reader, const std::string& name,
                  const RequestContext* caller) {
  ASSIGN_OR_RETURN(Modelfile file, read_fields(reader));
  if (!reader.ok())
    return fail(Code::kInvalidArgument, reader.error()->message, reader.error()->field);
  RETURN_IF_ERROR(check_able(reader, file));
  if (file.from.empty())
    return fail(Code::kInvalidArgument, "neither 'from' or 'files' was specified", "from");
  ASSIGN_OR_RETURN(const Wanted base, library.find(file.from, caller));
  ASSIGN_OR_RETURN(const service::ModelStatus status, library.context().models.look(base.base));
  RETURN_IF_ERROR(check_contents(file, status.info));
  DerivedModel made;
  if (base.made) made = *base.made;
  made.name = full_name(name);
  made.from = status.info.id;
  if (!file.system.empty()) made.system = file.system;
  if (!file.template_text.empty()) made.template_text = file.template_text;
  if (!file.license.empty()) made.license = file.license;
  for (const auto& [key, value] : file.parameters) made.parameters[key] = value;
  if (!file.messages.empty()) made.messages = file.messages;
  return library.keep(std::move(made), caller);
}

Response statuses(bool stream) {
  Response response;
  for (const char* status : kStatuses) {
    if (!stream && status != kStatuses[2]) continue;
    service::JsonWriter(response.body).begin_object().field("status", status).end_object();
    if (stream) response.body += '\n';
  }
  if (stream) response.content_type = kStreamType;
  return response;
}

}  // namespace

Handler create_model(const Home& home) {
  return [home](std::shared_ptr<Exchange> exchange) {
    std::optional<boost::json::object> body = open_body(*home, *exchange);
    if (!body) return;
    FieldReader reader(*body);
    const std::optional<std::string_view> name = read_model_name(reader);
    const bool stream = reader.boolean("stream").value_or(true);
    if (!name || !reader.ok()) return exchange->respond(error_response(*reader.error()));
    const Result<void> made =
        make(*home, reader, std::string(*name), exchange->request().caller.get());
    exchange->respond(made.ok() ? statuses(stream) : error_response(made.error()));
  };
}

}  // namespace pippin::api::ollama
