"""Apache Spark on all cores of this machine: read the file, and count."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as fn

spark = SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false").getOrCreate()
counted = (
    spark.read.schema("certificate_id STRING, event STRING, recipient_id STRING")
    .json(sys.argv[1])
    .groupBy("certificate_id", "event")
    .agg(fn.countDistinct("recipient_id").alias("recipients"))
)
print(*counted.agg(fn.count("*"), fn.sum("recipients")).first())
gateway = spark.sparkContext._gateway  # noqa: SLF001
spark.stop()
gateway.shutdown()
gateway.proc.stdin.close()
gateway.proc.wait()  # so that the seconds of the Java process are counted
