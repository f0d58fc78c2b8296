// Settings: every flag of the program in one table, which drives the flags, the PIPPIN_* variables,
// --help and docs/settings.md. Read once at start, then frozen. Thread: any, once read.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/environment.h"
#include "base/result.h"

namespace pippin::app {

/// A value as a settings file has it.
struct FileValue {
  std::string key, text;
  std::string origin;  // "pippin.toml:12: context"
};

/// A [models."NAME"] of a settings file.
struct ModelTable {
  std::string name;
  std::string origin;  // "pippin.toml:10: models.coder"
  int line = 0;
  std::string model;  // a file, or another name that commands understand; empty: `name` itself
  std::vector<std::string> aliases;
  bool pinned = false;
  std::string keep_alive;         // empty: as --keep-alive says
  std::vector<FileValue> values;  // settings that differ for this model
};

/// Values of all settings; the initialisers are the defaults.
struct Settings {
  std::string default_model;
  std::string served_name;
  std::string tool_parser, reasoning_parser;
  std::string profile;
  std::string device = "auto";
  int threads = 0;
  std::string cpu_activations = "int8";
  std::string kv_type = "f16";
  int context_tokens = 0;
  std::optional<double> rope_scale;
  uint64_t memory_bytes = 0;
  uint64_t kv_bytes = 0;
  int kv_contexts = 2;
  std::string log_level = "warn";
  std::string config_path;
  std::vector<ModelTable> model_tables;  // of the settings file

  std::string host = "127.0.0.1";
  int port = 8000;
  bool allow_unauthenticated = false;
  std::vector<std::string> allowed_hosts;
  std::vector<std::string> cors_origins;
  std::string keys_path;
  std::string tls_cert_path, tls_key_path;
  std::string audit_path;
  bool audit_text = false;
  bool audit_required = false;
  int rows_max = 64;
  int queue_max = 512;
  int step_tokens_max = 512;
  int step_target_ms = 200;
  bool prefix_cache = true;
  int slow_reader_s = 30;
  std::string record_path;
  std::vector<std::string> prompt_rules = {"all"};
  bool strict_model_ids = false;
  bool models_on_demand = false;
  std::string keep_alive;
  std::vector<std::string> pinned;
  std::string signing_key_path;
  std::string batches_path;
  std::string responses_path;
  int responses_max = 10'000;
  uint64_t responses_bytes = 1ULL << 30;
  bool ollama = false;
  int ollama_port = 11434;
  std::string ollama_folder;
  int drain_s = 30;
  int drain_delay_s = 0;
  int divergence_monitor_s = 0;
  std::string divergence_action = "warn";
  bool deterministic = false;

  std::string system_prompt;
  std::optional<double> temperature, top_p, min_p;
  std::optional<int64_t> top_k;
  bool openai_defaults = false;
  std::optional<int64_t> seed;
  int output_tokens_max = 0;

  std::vector<int> bench_prompts = {512};
  int bench_generate = 64;
  int bench_depth = 128;
  std::vector<int> bench_rows = {1};
  int bench_repeats = 5;
  bool bench_json = false;

  std::string aliases_path, hf_endpoint, ollama_registry;
  int pull_connections = 4;
  bool pull_any = false, models_json = false;
  std::string convert_to, convert_out;
  int convert_group = 0;  // 0: the format's usual one
  bool convert_dry_run = false, convert_json = false;
  std::string server;  // empty: as host and port say
  std::string cacert_path;
  std::vector<std::string> registries;

  int key_requests_per_minute = 0, key_tokens_per_minute = 0, key_tokens_per_day = 0,
      key_concurrent = 0;
  std::string key_role = "use", key_priority_max = "normal";
  std::vector<std::string> key_models;
  uint64_t key_storage_bytes = 0;
  bool key_json = false;

  bool launch_print = false, doctor_divergence = false, doctor_json = false;
  int doctor_tokens = 32;
};

enum class Command : uint16_t {
  kServe = 1,
  kRun = 2,
  kBench = 4,
  kDoctor = 8,
  kPull = 16,
  kModels = 32,  // list, rm, alias
  kServer = 64,  // ps, stop
  kKey = 128,
  kLaunch = 256,
  kProfiles = 512,  // has none
  kConvert = 1024,
  kShow = 2048,
};

/// One row of the table.
struct Setting {
  /// Where the value lives; its type is the setting's. uint64_t is a number of bytes ("8GiB"); bool
  /// a switch; vectors are written with commas.
  using Field =
      std::variant<std::string Settings::*, int Settings::*, uint64_t Settings::*, bool Settings::*,
                   std::vector<std::string> Settings::*, std::vector<int> Settings::*,
                   std::optional<double> Settings::*, std::optional<int64_t> Settings::*>;

  std::string_view flag;      // "--port"; empty: by variable only
  std::string_view variable;  // "PIPPIN_PORT"
  std::string_view value;     // what --help calls the value: "PORT"; empty for a switch
  Field field;
  uint16_t commands;              // of Command
  double low = 0, high = 0;       // numbers: both ends are allowed
  std::string_view choices = {};  // texts: "a, b, c"; empty: anything
  std::string_view unset = {};    // what the default means, where its value does not say it
  std::string_view help = {};     // one sentence, without a full stop

  /// Hidden flags, "--max-rows, -np": other names for the same, as other servers have them. A long
  /// one is also a variable and a key of pippin.toml.
  std::string_view aliases = {};

  /// Returns the flag and its aliases; none where the setting has no flag.
  std::vector<std::string_view> flags() const;
  /// Returns the variable and those of the aliases: PIPPIN_MAX_NUM_SEQS, PIPPIN_MAX_ROWS.
  std::vector<std::string> variables() const;
  bool is_for(Command command) const { return (commands & static_cast<uint16_t>(command)) != 0; }
  bool is_switch() const { return std::holds_alternative<bool Settings::*>(field); }
};

/// Returns the table, in the order of --help.
std::span<const Setting> settings_table();

/// Sets one value from text. `origin` is what the user wrote it with, "--port" or "PIPPIN_PORT".
/// Errors: kInvalidArgument, naming the origin, what was expected and what came.
Result<void> set_setting(Settings& settings, const Setting& setting, std::string_view text,
                         std::string_view origin);

/// Returns `defaults` overlaid by the PIPPIN_* variables that belong to the command. An empty
/// variable counts as absent; an alias counts where the setting's own variable is absent. Errors:
/// of set_setting().
Result<Settings> settings_from_environment(Command command, const Environment& environment,
                                           const Settings& defaults = {});

/// Returns the default as text: "8000", "the model's own".
std::string default_text(const Setting& setting);
/// Returns what may be given: "0 to 65535", "debug, info, warn, error, off", "on or off"; empty:
/// any text.
std::string range_text(const Setting& setting);

/// Returns the lines of --help for a command's settings.
std::string settings_help(Command command);
/// Returns the table of docs/settings.md.
std::string settings_markdown(Command command);
/// Returns the table of aliases of docs/settings.md.
std::string aliases_markdown();

}  // namespace pippin::app
