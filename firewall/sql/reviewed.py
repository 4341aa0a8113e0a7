"""What has been reviewed by hand: Postgres's own functions and relations that do more, or show more, than
their catalog entries say.

pg_proc's volatility is not a statement about harm: `table_to_xml` is stable and runs whatever SQL its view
holds, `pg_read_file` is volatile and changes nothing. So: a built-in that is listed as dangerous is that,
whatever its volatility; one that is immutable or stable and not listed is harmless; a volatile one is
`execute` unless it is listed as harmless. Sources: manual chapters 9 and 53, and pg_proc.dat of 18.
"""

from __future__ import annotations

import re

from firewall.sql.analysis import Kind
from firewall.sql.grammar import words

_DANGEROUS: tuple[tuple[Kind, str], ...] = (
    # files, programs, the server itself (manual 9.28)
    (Kind.SERVER_IO, r"pg_read_(binary_)?file\w*|pg_ls_\w+|pg_stat_file\w*|pg_file_\w+|pg_logdir_ls"),
    (
        Kind.SERVER_IO,
        r"pg_current_logfile|pg_hba_file_rules|pg_ident_file_mappings|pg_show_all_file_settings",
    ),
    (
        Kind.SERVER_IO,
        r"pg_config|pg_reload_conf|pg_rotate_logfile\w*|pg_promote|pg_switch_\w+|pg_control_\w+",
    ),
    (Kind.SERVER_IO, r"pg_(start|stop)_backup\w*|pg_backup_\w+|pg_create_\w+|pg_drop_\w+|pg_wal_\w+"),
    (
        Kind.SERVER_IO,
        r"pg_(get_)?replication_\w+|pg_logical_\w+|pg_copy_\w+|pg_sync_\w+|pg_replication_slot\w*",
    ),
    (Kind.SERVER_IO, r"pg_import_system_collations|pg_extension_config_dump|binary_upgrade_\w+|pg_nextoid"),
    (Kind.SERVER_IO, r"pg_log_(backend|standby)\w*|pg_upgrade_\w+|pg_get_wal_\w+|pg_walsummary\w*"),
    # other backends
    (Kind.SERVER_IO, r"pg_terminate_backend|pg_cancel_backend|pg_signal_\w+|pg_stat_get_activity"),
    (Kind.SERVER_IO, r"pg_stat_get_backend_activity|pg_stat_get_wal_\w+|pg_stat_statements\w*"),
    # large objects (manual 33)
    (Kind.SERVER_IO, r"lo_\w+|loread|lowrite|lo(open|close|creat|tell|lseek|unlink|truncate)|be_lo\w+"),
    # network
    (Kind.SERVER_IO, r"dblink\w*|postgres_fdw_\w+|http\w*_(get|post|put|delete)|http_\w+|pg_net_\w+"),
    # SQL in strings: what runs is not in the text
    (
        Kind.UNKNOWN,
        r"(query|table|schema|database|cursor)_to_xml\w*|ts_stat|ts_rewrite|crosstab\w*|connectby",
    ),
    (Kind.UNKNOWN, r"xpath_table|query_to_json|plpgsql_call_handler|plpgsql_inline_handler|\w*_call_handler"),
    # statistics on values of other relations
    (
        Kind.PRIVILEGE,
        r"pg_mcv_list_items|pg_(restore|clear)_(relation|attribute|extended)_stats|pg_set_\w+_stats",
    ),
    # locks, sleep, counters, upkeep
    (Kind.LOCK, r"pg_(try_)?advisory_(xact_)?lock(_shared)?"),
    (
        Kind.EXECUTE,
        # input functions: of any type, whose checks are somebody's own functions
        r"(domain|record|array|range|multirange)_(in|recv)",
    ),
    (
        Kind.EXECUTE,
        r"pg_sleep\w*|pg_export_snapshot|pg_stat_(clear|force|reset)\w*|pg_prewarm|autoprewarm\w*",
    ),
    (Kind.MAINTENANCE, r"brin_(de)?summarize\w*|gin_clean_pending_list|pg_truncate_\w+|pg_freeze\w*"),
    (Kind.NOTIFY, r"pg_notify"),
)
_DANGEROUS_NAMES = re.compile("|".join(f"(?P<r{i}>{names})" for i, (_, names) in enumerate(_DANGEROUS)))

# Functions that read a value of the type named by their second argument, checks included.
INPUT_FUNCTIONS = frozenset({"pg_input_is_valid", "pg_input_error_info"})

SEQUENCE_FUNCTIONS = frozenset({"nextval", "setval"})

HARMLESS_VOLATILE = words(
    """
    array_shuffle array_sample current_query pg_last_committed_xact pg_xact_commit_timestamp
    pg_stat_have_stats pg_get_wait_events pg_get_backend_memory_contexts
    clock_timestamp timeofday random random_normal setseed gen_random_uuid uuidv4 uuidv7 currval
    lastval txid_current txid_current_if_assigned pg_current_xact_id pg_current_xact_id_if_assigned
    txid_status pg_xact_status pg_backend_pid pg_jit_available pg_relation_size pg_table_size
    pg_indexes_size pg_total_relation_size pg_database_size pg_tablespace_size pg_column_size
    pg_column_compression pg_column_toast_chunk_id pg_is_in_recovery pg_is_wal_replay_paused
    pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_current_wal_lsn
    pg_current_wal_insert_lsn pg_current_wal_flush_lsn pg_blocking_pids
    pg_safe_snapshot_blocking_pids pg_isolation_test_session_is_blocked pg_listening_channels
    pg_notification_queue_usage pg_advisory_unlock pg_advisory_unlock_shared pg_advisory_unlock_all
    pg_lock_status pg_prepared_statement pg_prepared_xact pg_cursor pg_trigger_depth
    pg_timezone_names pg_timezone_abbrevs pg_available_extensions pg_available_extension_versions
    pg_get_keywords pg_collation_actual_version pg_database_collation_actual_version
    pg_partition_tree pg_partition_ancestors pg_partition_root pg_sequence_last_value
    pg_get_sequence_data pg_sequence_parameters pg_stat_get_snapshot_timestamp inet_server_addr
    version generate_series pg_my_temp_schema pg_is_other_temp_schema statement_timestamp
    transaction_timestamp now current_database row_security_active has_function_privilege
    pg_postmaster_start_time pg_conf_load_time
    """
)

# Names that count as harmless built-ins when the snapshot holds none of pg_catalog's functions: the ones that
# ordinary queries use. With a real catalog pg_proc's own volatility decides.
COMMON = words(
    """
    abs acos age array_agg array_append array_cat array_dims array_fill array_length array_lower
    array_ndims array_position array_positions array_prepend array_remove array_replace
    array_to_json array_to_string array_upper ascii asin atan atan2 avg bit_and bit_length bit_or
    bool_and bool_or btrim cardinality cbrt ceil ceiling char_length character_length chr coalesce
    col_description concat concat_ws convert convert_from convert_to corr cos cot count covar_pop
    covar_samp cume_dist current_catalog current_database current_query current_role current_schema
    current_schemas current_setting current_user date_bin date_part date_trunc decode degrees
    dense_rank div encode enum_first enum_last enum_range every exp extract factorial first_value
    float4 float8 floor format format_type gcd generate_subscripts get_bit get_byte
    get_current_ts_config has_any_column_privilege has_column_privilege has_database_privilege
    has_schema_privilege has_sequence_privilege has_table_privilege has_type_privilege host
    inet_client_addr inet_client_port inet_server_port initcap int2 int4 int8 interval isfinite
    json_agg json_array_elements json_array_elements_text json_array_length json_build_array
    json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object
    json_object_agg json_object_keys json_populate_record json_populate_recordset json_strip_nulls
    json_to_record json_to_recordset json_typeof jsonb_agg jsonb_array_elements
    jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each
    jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object
    jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query
    jsonb_path_query_array jsonb_path_query_first jsonb_populate_record jsonb_pretty jsonb_set
    jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof justify_days justify_hours
    justify_interval lag last_value lcm lead left length like_escape ln localtime localtimestamp log
    log10 lower lower_inc lower_inf lpad ltrim make_date make_interval make_time make_timestamp
    make_timestamptz masklen max md5 min mod mode normalize nth_value ntile numeric numnode
    obj_description octet_length overlaps overlay parse_ident percent_rank percentile_cont
    percentile_disc pg_char_to_encoding pg_client_encoding pg_describe_object pg_encoding_to_char
    pg_function_is_visible pg_get_constraintdef pg_get_expr pg_get_function_arguments
    pg_get_function_identity_arguments pg_get_function_result pg_get_function_sqlbody
    pg_get_functiondef pg_get_indexdef pg_get_partkeydef pg_get_partition_constraintdef
    pg_get_ruledef pg_get_serial_sequence pg_get_statisticsobjdef pg_get_statisticsobjdef_columns
    pg_get_triggerdef pg_get_userbyid pg_get_viewdef pg_has_role pg_index_column_has_property
    pg_indexam_has_property pg_index_has_property pg_options_to_table pg_collation_is_visible
    pg_conversion_is_visible pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible
    pg_relation_is_publishable pg_relation_is_updatable pg_size_bytes pg_size_pretty
    pg_statistics_obj_is_visible pg_table_is_visible pg_tablespace_location pg_type_is_visible
    pg_ts_config_is_visible pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible
    pg_typeof phraseto_tsquery pi plainto_tsquery position pow power quote_ident quote_literal
    quote_nullable radians rank regexp_count regexp_instr regexp_like regexp_match regexp_matches
    regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr regr_avgx regr_avgy
    regr_count regr_intercept regr_r2 regr_slope repeat replace reverse right round row_number
    row_to_json rpad rtrim scale session_user setweight sha224 sha256 sha384 sha512
    shobj_description sign sin split_part sqrt starts_with stddev stddev_pop stddev_samp string_agg
    string_to_array string_to_table strip strpos substr substring sum tan text timestamp timestamptz
    timezone to_ascii to_char to_date to_hex to_json to_jsonb to_number to_regclass to_regnamespace
    to_regoperator to_regproc to_regprocedure to_regrole to_regtype to_timestamp to_tsquery
    to_tsvector translate trim trim_array trunc ts_headline ts_rank ts_rank_cd tsvector_to_array
    unaccent unnest upper upper_inc upper_inf user var_pop var_samp variance websearch_to_tsquery
    width_bucket xmlagg xmlconcat xmlelement xmlforest xpath xpath_exists range_agg range_merge
    int4range int8range numrange tsrange tstzrange daterange isempty any_value bit_count row
    grouping xmlcomment pg_collation_for ltree2text json_scalar is_normalized xmlexists like notlike
    similar_to_escape similar_escape pg_encoding_max_length date time datetime bool varchar bpchar
    name char regclass oid
    """
)

# Relations of pg_catalog and information_schema, and well-known extensions' views, that hold secrets, values
# of other relations, or other sessions' SQL. By bare name: an extension may stand in any schema.
SECRET_RELATIONS: dict[str, Kind] = {
    **dict.fromkeys(
        (
            "pg_authid", "pg_shadow", "pg_user_mapping", "pg_user_mappings", "_pg_user_mappings",
            "user_mapping_options", "pg_subscription", "pg_statistic", "pg_stats", "pg_stats_ext",
            "pg_stats_ext_exprs", "pg_statistic_ext_data", "pg_stat_wal_receiver",
        ),
        Kind.PRIVILEGE,
    ),
    **dict.fromkeys(
        (
            "pg_hba_file_rules", "pg_ident_file_mappings", "pg_file_settings", "pg_config", "pg_largeobject",
            "pg_stat_activity", "pg_stat_statements", "pg_stat_statements_info", "pg_stat_replication",
            "pg_buffercache", "pg_shmem_allocations", "pg_dblink",
        ),
        Kind.SERVER_IO,
    ),
}  # fmt: skip

# Functions in C of well-known extensions that compute, though they are not declared immutable: because they
# look at a setting or a dictionary, or because they are random. A superuser made them, under any schema.
HARMLESS_IN_C = words(
    """
    similarity_op word_similarity_op word_similarity_commutator_op strict_word_similarity_op
    strict_word_similarity_commutator_op show_limit unaccent normal_rand isn_weak
    gen_random_bytes gen_salt gen_random_uuid uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4
    """
)

# Of these one column alone is secret, and the rest is what psql's \deu and \dRs show.
SECRET_COLUMNS: dict[str, str] = {"pg_user_mappings": "umoptions", "pg_subscription": "subconninfo"}

# Columns and functions that show the values of settings, secret ones among them where there are any: of the
# server and its extensions, and of roles and databases.
SETTINGS_COLUMNS: dict[str, frozenset[str]] = {"pg_catalog.pg_settings": words("setting boot_val reset_val")}
ROLE_SETTINGS_COLUMNS: dict[str, frozenset[str]] = {
    "pg_catalog.pg_db_role_setting": words("setconfig"),
    "pg_catalog.pg_roles": words("rolconfig"),
    "pg_catalog.pg_user": words("useconfig"),
}
SETTINGS_FUNCTIONS = frozenset({"pg_show_all_settings"})

SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema", "pg_toast"})

# Settings that move how a text is cut into tokens: any value but these makes later texts unreadable.
_SAFE_ENCODING = re.compile(
    r"utf_?8|unicode|sql_?ascii|latin_?\d+|iso_?8859_?\d+|win(dows)?_?125\d|koi8_?[ru]?"
)
_ON = frozenset({"on", "true", "t", "tr", "tru", "yes", "y", "ye", "1"})


def danger(name: str) -> Kind | None:
    """What a built-in (or a well-known extension's function) of this name does beyond computing."""
    match = _DANGEROUS_NAMES.fullmatch(name)
    return None if match is None or match.lastgroup is None else _DANGEROUS[int(match.lastgroup[1:])][0]


def lexes_safely(setting: str, value: str | None) -> bool:
    """Whether texts are still cut into tokens as here once the setting has the value; None is unknown."""
    match setting:
        case "standard_conforming_strings":
            return value is not None and value.lower() in _ON
        case "backslash_quote":
            return value is not None and value.lower() == "safe_encoding"
        case "client_encoding":
            return value is not None and _SAFE_ENCODING.fullmatch(value.lower().replace("-", "_")) is not None
        case _:
            return True
