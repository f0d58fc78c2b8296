#include "parse/reasoning_splitter.h"

#include <utility>

#include "parse/cursor.h"

namespace pippin::parse {
namespace {

template <typename Text>
void append(std::string_view text, size_t at, Events& events) {
  Text* before = events.empty() ? nullptr : std::get_if<Text>(&events.back());
  if (before && before->at + before->text.size() == at) {
    before->text += text;
  } else {
    events.push_back(Text{std::string(text), at});
  }
}

}  // namespace

std::string end_of_thinking(const ReasoningDialect& dialect) {
  if (!dialect.end.empty()) return std::string(dialect.end);
  for (const Mark& mark : dialect.marks) {
    if (mark.turn != Mark::Turn::kClose || mark.text.empty()) continue;
    const std::string text(mark.text);
    return dialect.anywhere ? text : "\n" + text + "\n\n";
  }
  return {};
}

void ReasoningSplitter::push(std::string_view text, size_t at, Events& events) {
  // No mark reaches across something else.
  if (pending_at_ + pending_.size() != at)
    release(std::exchange(pending_, {}), pending_at_, events);
  if (pending_.empty()) pending_at_ = at;
  pending_ += text;
  size_t from = 0;
  Found found = find(from);
  for (; found.mark && !found.partial; found = find(from)) {
    turn(found, from, events);
    from = found.at + found.bytes;
  }
  const size_t certain = found.mark ? found.at : pending_.size();
  release(std::string_view(pending_).substr(from, certain - from), pending_at_ + from, events);
  pending_.erase(0, certain);
  pending_at_ += certain;
}

void ReasoningSplitter::boundary(bool call, Events& events) {
  release(std::exchange(pending_, {}), pending_at_, events);
  const std::string space = std::exchange(space_, {});
  if (call) {
    blank_ = true;
  } else if (!space.empty()) {
    emit(space, space_at_, events);
  }
}

ReasoningSplitter::Found ReasoningSplitter::find(size_t from) const {
  if (!dialect_) return {};
  for (size_t at = from; at < pending_.size(); ++at) {
    Found best;
    for (const Mark& mark : dialect_->marks) {
      if (mark.text.empty() || mark.text[0] != pending_[at] || !counts(mark, from, at)) continue;
      const Found found = match(mark, at);
      if (found.partial) return found;  // it may yet be the longer one
      if (found.mark && found.bytes > best.bytes) best = found;
    }
    if (best.mark) return best;
  }
  return {};
}

ReasoningSplitter::Found ReasoningSplitter::match(const Mark& mark, size_t at) const {
  const std::string_view rest = std::string_view(pending_).substr(at);
  if (!rest.starts_with(mark.text)) {
    if (!mark.text.starts_with(rest)) return {};
    return {&mark, at, 0, true};
  }
  if (mark.until.empty()) return {&mark, at, mark.text.size(), false};
  const size_t end = rest.substr(0, kMarkBytesMax).find(mark.until, mark.text.size());
  if (end != std::string_view::npos) return {&mark, at, end + mark.until.size(), false};
  if (rest.size() >= kMarkBytesMax) return {};
  return {&mark, at, 0, true};
}

// Ordinary text may name the marks: an opening one counts only where no content stands before it.
bool ReasoningSplitter::counts(const Mark& mark, size_t from, size_t at) const {
  if (mark.turn == Mark::Turn::kDrop || dialect_->anywhere) return true;
  if (mark.turn == Mark::Turn::kClose && inside_) return true;
  if (inside_) return false;
  return blank_ && trim(std::string_view(pending_).substr(from, at - from)).empty();
}

void ReasoningSplitter::turn(const Found& found, size_t from, Events& events) {
  const std::string_view before = std::string_view(pending_).substr(from, found.at - from);
  release(before, pending_at_ + from, events);
  space_.clear();
  if (found.mark->turn == Mark::Turn::kOpen) inside_ = true;
  if (found.mark->turn == Mark::Turn::kClose) inside_ = false;
  trim_ = true;
  blank_ = true;
}

void ReasoningSplitter::release(std::string_view text, size_t at, Events& events) {
  if (!dialect_) return emit(text, at, events);
  if (trim_) {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1), ++at;
    if (text.empty()) return;
    trim_ = false;
  }
  size_t end = text.size();
  while (end > 0 && is_space(text[end - 1])) --end;
  if (end > 0) {
    emit(std::exchange(space_, {}), space_at_, events);
    if (!inside_) blank_ = false;
    emit(text.substr(0, end), at, events);
  }
  if (!space_.empty() && space_at_ + space_.size() != at)
    emit(std::exchange(space_, {}), space_at_, events);
  if (space_.empty()) space_at_ = at + end;
  space_ += text.substr(end);
  if (space_.size() > kSpaceBytesMax) {
    const size_t over = space_.size() - kSpaceBytesMax;
    emit(std::string_view(space_).substr(0, over), space_at_, events);
    space_.erase(0, over);
    space_at_ += over;
  }
}

void ReasoningSplitter::emit(std::string_view text, size_t at, Events& events) {
  if (text.empty()) return;
  if (inside_) return append<ReasoningText>(text, at, events);
  append<ContentText>(text, at, events);
}

}  // namespace pippin::parse
