//! Contexts as Parquet: session, viewer, version, event time, and one FLOAT column per slot, named like it.

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use saccade_topology::ContextRef;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// Rows of a row group.
const GROUP_ROWS: usize = 65_536;

#[derive(Default)]
struct Group {
    sessions: Vec<ByteArray>,
    viewers: Vec<ByteArray>,
    viewer_levels: Vec<i16>,
    versions: Vec<i64>,
    event_times: Vec<i64>,
    slots: Vec<Vec<f32>>,
}

/// An open Parquet file.
pub(super) struct ParquetFile {
    writer: SerializedFileWriter<File>,
    group: Group,
}

fn schema(slots: &[String]) -> Result<Type, parquet::errors::ParquetError> {
    let text = |name: &str, repetition| {
        let column = Type::primitive_type_builder(name, Physical::BYTE_ARRAY).with_repetition(repetition);
        column.with_logical_type(Some(LogicalType::String)).build().map(Arc::new)
    };
    let time = LogicalType::timestamp(true, TimeUnit::MILLIS);
    let mut columns = vec![
        text("session", Repetition::REQUIRED)?,
        text("viewer", Repetition::OPTIONAL)?,
        Arc::new(
            Type::primitive_type_builder("version", Physical::INT64).with_repetition(Repetition::REQUIRED).build()?,
        ),
        Arc::new(
            Type::primitive_type_builder("event_time", Physical::INT64)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(Some(time))
                .build()?,
        ),
    ];
    for name in slots {
        let column = Type::primitive_type_builder(name, Physical::FLOAT).with_repetition(Repetition::REQUIRED);
        columns.push(Arc::new(column.build()?));
    }
    Type::group_type_builder("context").with_fields(columns).build()
}

impl ParquetFile {
    pub(super) fn create(file: File, slots: &[String]) -> io::Result<ParquetFile> {
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
        let schema = Arc::new(schema(slots).map_err(io::Error::other)?);
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(io::Error::other)?;
        let group = Group { slots: vec![vec![]; slots.len()], ..Group::default() };
        Ok(ParquetFile { writer, group })
    }

    pub(super) fn write(&mut self, c: &ContextRef<'_>) -> io::Result<()> {
        let group = &mut self.group;
        group.sessions.push(ByteArray::from(c.session.unwrap_or_default()));
        group.viewer_levels.push(i16::from(c.viewer.is_some()));
        group.viewers.extend(c.viewer.map(ByteArray::from));
        group.versions.push(c.version as i64);
        group.event_times.push(c.event_time);
        for (column, x) in group.slots.iter_mut().zip(c.vector) {
            column.push(*x);
        }
        if group.versions.len() == GROUP_ROWS { self.flush().map_err(io::Error::other) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), parquet::errors::ParquetError> {
        let group = &mut self.group;
        let mut rows = self.writer.next_row_group()?;
        let mut place = 0;
        while let Some(mut column) = rows.next_column()? {
            match place {
                0 => column.typed::<ByteArrayType>().write_batch(&group.sessions, None, None)?,
                1 => column.typed::<ByteArrayType>().write_batch(&group.viewers, Some(&group.viewer_levels), None)?,
                2 => column.typed::<Int64Type>().write_batch(&group.versions, None, None)?,
                3 => column.typed::<Int64Type>().write_batch(&group.event_times, None, None)?,
                slot => column.typed::<FloatType>().write_batch(&group.slots[slot - 4], None, None)?,
            };
            column.close()?;
            place += 1;
        }
        rows.close()?;
        group.sessions.clear();
        group.viewers.clear();
        group.viewer_levels.clear();
        group.versions.clear();
        group.event_times.clear();
        group.slots.iter_mut().for_each(Vec::clear);
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.group.versions.is_empty() {
            self.flush().map_err(io::Error::other)?;
        }
        self.writer.close().map(drop).map_err(io::Error::other)
    }
}
