// ItemsReader: turns the items of the Responses API into a conversation. Lives during one request's
// reading. Thread: one.
#pragma once

#include <boost/json/object.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/openai/responses/tool_table.h"
#include "api/shared/field_reader.h"
#include "service/chat/request.h"

namespace pippin::api::openai::responses {

/// What `encrypted_content` of a reasoning item begins with when it is of this server's making. The
/// thinking follows as it is: it is no secret from the client, who sees it anyway.
inline constexpr std::string_view kReasoningMark = "pippin-reasoning:";

/// Items of one assistant's turn (thinking, text, calls) become one message. Instructions and the
/// system and developer messages at the start become one message, since many templates take no
/// more than one, and only first.
class ItemsReader {
 public:
  ItemsReader(const ToolTable& tools, std::vector<Warning>& warnings)
      : tools_(tools), warnings_(warnings) {}

  void instructions(std::string_view text);
  /// Reads one item, which errors call `path`. Items of tools that cannot run here, and what
  /// belongs to no conversation, are left out with a warning.
  void read(FieldReader& body, const std::string& path, const boost::json::object& item);
  /// Returns the conversation so far, and begins anew.
  std::vector<service::Message> take();

 private:
  void read_message(FieldReader& item);
  void read_call(FieldReader& item, bool custom);
  void read_output(FieldReader& item);
  void read_reasoning(FieldReader& item);
  std::string read_parts(FieldReader& item, std::string_view name, bool required);
  void add(service::Message message);
  service::Message& turn();
  void end_turn();

  const ToolTable& tools_;
  std::vector<Warning>& warnings_;
  std::vector<service::Message> messages_;
  service::Message turn_;  // the assistant's, while it goes on
  bool in_turn_ = false;
  std::map<std::string, std::string, std::less<>> called_;  // names by call_id
};

/// Returns the item as the API lists it: with its type, an id, a status and content as parts.
boost::json::object listed_item(const boost::json::object& item, std::string_view id_end);

}  // namespace pippin::api::openai::responses
