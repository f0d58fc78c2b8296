// Reads "options" of Ollama's requests, keep_alive and think. Thread: any.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/shared/field_reader.h"
#include "api/shared/warning.h"
#include "base/clock.h"
#include "service/chat/request.h"
#include "service/models/model_loader.h"

namespace pippin::api::ollama {

/// Starts from the model's own sampling, or Ollama's defaults where the file says nothing, and
/// overlays what the options say.
void read_options(FieldReader& options, const service::ModelInfo& model, service::Request& request);
/// Returns a warning for each option that is there and has no effect.
std::vector<Warning> options_without_effect(const FieldReader& options);

/// How long a model stays loaded after a request.
struct KeepAlive {
  bool forever = false;
  std::chrono::nanoseconds time{};

  bool unloads() const { return !forever && time.count() == 0; }
  service::KeepAlive wish() const { return forever ? service::KeepAlive() : time; }
};
/// A number of seconds, or a text as "5m", "1h30m" or "-1"; below 0 is forever.
std::optional<KeepAlive> read_keep_alive(FieldReader& reader);

/// "think": true, false or a level. Writes the template's variables into the conversation. Returns
/// whether thinking is shown. Errors: a model that does not think, by `name`.
bool read_think(FieldReader& reader, const service::Model& model, std::string_view name,
                service::Request& request, std::string& template_kwargs_json);

}  // namespace pippin::api::ollama
