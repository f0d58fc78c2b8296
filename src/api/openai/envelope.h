// Envelope: what every object and chunk of one answer repeats: id, kind, time, model, fingerprint,
// usage. Owner: a writer.
#pragma once

#include <string>
#include <string_view>

#include "service/chat/request.h"
#include "service/json.h"
#include "service/models/model.h"

namespace pippin::api::openai {

class Envelope {
 public:
  /// `object` is the kind: "chat.completion.chunk". `service_tier` is told if not empty.
  Envelope(std::string_view id_prefix, std::string_view object, const service::Model& model,
           bool include_usage, std::string_view service_tier = {});

  const std::string& id() const { return id_; }

  /// Appends "data: {...,"choices":[" and, by close_chunk, "]...}\n\n". Between them stand the
  /// choices. A chunk tells the usage so far if it is given, and then `tail`, members behind a
  /// comma.
  void open_chunk(std::string& out) const;
  void close_chunk(std::string& out, const service::Usage* so_far = nullptr,
                   std::string_view tail = {}) const;
  /// Appends the chunk without choices that carries the usage, where it is asked for, and "data:
  /// [DONE]".
  void end_stream(const service::Usage& usage, std::string& out) const;

  /// The same for a whole answer: {...,"choices":[ and ],"usage":{...}}.
  void open_object(std::string& out) const;
  void close_object(const service::Usage& usage, std::string& out,
                    std::string_view tail = {}) const;

 private:
  std::string id_;
  std::string head_;  // {"id":...,"choices":[
  bool include_usage_;
};

/// Appends a finish_reason: "stop", "length" or null.
void write_finish_reason(service::JsonWriter& json, std::optional<service::FinishReason> reason);

}  // namespace pippin::api::openai
