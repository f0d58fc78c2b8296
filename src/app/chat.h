// Chat: a conversation in the terminal: what was said, the settings that /set changes, and the
// commands.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "app/settings/settings.h"
#include "base/result.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::app {

/// The state of a conversation. Pure: nothing is read or printed here.
class Chat {
 public:
  /// Borrows the model. Without a chat template each text goes in as it is.
  Chat(const service::Model& model, const Settings& settings);

  /// Returns the request for a text in this conversation, which remembers the text.
  service::Request ask(const std::string& text);
  /// Remembers an answer; without one (an error), forgets the question.
  void hear(const std::optional<std::string>& answer);

  /// Does "/help", "/clear", "/set NAME VALUE" and the like; returns what to tell. Requires:
  /// is_command(line).
  std::string command(const std::string& line);
  static bool is_command(const std::string& line) { return line.starts_with('/'); }
  bool ended() const { return ended_; }

  size_t messages() const { return conversation_.messages.size(); }
  const Settings& settings() const { return settings_; }

 private:
  void forget();
  std::string set(const std::string& name, const std::string& value);

  const service::Model& model_;
  Settings settings_;
  service::Conversation conversation_;
  bool ended_ = false;
};

/// Returns ${XDG_STATE_HOME:-~/.local/state}/pippin/history.
std::filesystem::path history_file(const Environment& environment);

}  // namespace pippin::app
